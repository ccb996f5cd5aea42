"""Several workers: who they are, what they do together, and how they are started and watched over."""
