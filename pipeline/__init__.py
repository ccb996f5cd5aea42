"""A distributed multi-GPU training pipeline: exact, unkillable, fast."""

__version__ = "0.1.0"
