"""Random numbers that are a pure function of the seed, a purpose and integers."""
