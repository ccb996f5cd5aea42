"""A training step and all its parts. This layer knows no file, no signal and no other worker."""
