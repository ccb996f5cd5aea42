"""A job of several workers on hosts of their own, hit by one accident after the other: python -m tests.chaos."""
