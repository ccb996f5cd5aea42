"""The interface for Python: trainings started from a script or a notebook, and runs read there."""

from pipeline.api.loading import Checkpoint, Run, load
from pipeline.api.prediction import Predictor
from pipeline.api.training import train

__all__ = ["Checkpoint", "Predictor", "Run", "load", "train"]
