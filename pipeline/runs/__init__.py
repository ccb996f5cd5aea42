"""A run, from its directory to its result: ownership, checkpoints, resume, and the loop."""
