"""What TensorBoard's HParams table says of a run: the values that it was given, and what it scored."""

from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api, api_pb2
from tensorboard.plugins.hparams.summary import session_end_pb
from tensorboard.plugins.hparams.summary_v2 import hparams_config_pb, hparams_pb

from pipeline.config import Config

# The columns, in order: what people vary, and what tells apart the runs that they compare.
FIELDS = (
    *("source", "model", "global_batch", "steps", "optimizer", "learning_rate", "schedule", "warmup_steps", "momentum"),
    *("weight_decay", "clip_norm", "label_smoothing", "augment", "precision", "seed", "grad_shards", "towers"),
)
# (split, tag): a split is the name of its run below the one that tells the session.
METRICS = (("test", "accuracy"), ("test", "loss"), ("validation", "accuracy"), ("validation", "loss"))


def start(config: Config, name: str) -> list[Summary]:
    """Opens the row of the run `name`; two runs of equal values have rows of their own."""
    values: dict[str, Any] = {field: getattr(config, field) for field in FIELDS}
    metrics = [api.Metric(tag, group=split, display_name=f"{split} {tag}") for split, tag in METRICS]
    return [hparams_config_pb([api.HParam(field) for field in FIELDS], metrics), hparams_pb(values, trial_id=name)]


def end() -> Summary:
    """Says that the run came to its end."""
    summary = session_end_pb(api_pb2.STATUS_SUCCESS)
    return Summary.FromString(summary.SerializeToString())  # it comes as TensorFlow's class of the same message
