"""Several workers: who they are, their common sums, and how they are started and watched over."""
