"""A training step, and all that it is made of: it knows no file, no signal and no other worker."""
