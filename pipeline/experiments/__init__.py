"""Many runs: grids of flags, repeated seeds, and their results."""
