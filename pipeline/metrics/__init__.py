"""Metrics of a classifier on a split, computed from NumPy arrays: what it predicted, and what is true."""
