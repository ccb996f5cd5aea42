"""Many runs: grids of flags, repeated seeds, and how they stand."""
