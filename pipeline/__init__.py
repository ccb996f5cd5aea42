"""A distributed multi-GPU training pipeline: exact, unkillable, fast."""

__version__ = "0.2.0"
