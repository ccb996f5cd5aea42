"""What TensorBoard's HParams table says of a run: the values that it was given, and what it scored."""

from pathlib import Path

import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api, api_pb2
from tensorboard.plugins.hparams.summary import experiment_pb, session_end_pb, session_start_pb

from pipeline.config import Config
from pipeline.monitoring.summaries import chart

# What people vary, and what tells apart the runs that they compare. TensorBoard shows the first five columns until it
# is told otherwise; these are SHOWN_FIRST.
FIELDS = (
    *("source", "model", "global_batch", "steps", "optimizer", "learning_rate", "schedule", "warmup_steps", "momentum"),
    *("weight_decay", "clip_norm", "label_smoothing", "augment", "precision", "seed", "grad_shards", "towers"),
)
SHOWN_FIRST = ("global_batch", "learning_rate", "model", "optimizer", "seed")
# (split, tag): a split is the name of its run below the one that tells the session.
METRICS = tuple((split, tag) for split in ("test", "validation") for tag in ("accuracy", "loss"))


def start(config: Config) -> list[Summary]:
    """Opens the run's row, under the name of its directory and where that lies; equal values make no common row."""
    columns = [api_pb2.HParamInfo(name=field, differs=field in SHOWN_FIRST) for field in FIELDS]
    metrics = [api.Metric(chart(tag), group=split, display_name=f"{split} {tag}").as_proto() for split, tag in METRICS]
    path = Path(config.run_dir)
    values = {field: getattr(config, field) for field in FIELDS}
    row = session_start_pb(values, group_name=f"{path.name} ({path.parent})")
    return [_native(experiment_pb(columns, metrics)), _native(row)]


def end() -> Summary:
    """Says that the run came to its end."""
    return _native(session_end_pb(api_pb2.STATUS_SUCCESS))


def _native(summary: tf.compat.v1.Summary) -> Summary:
    """The same message in TensorBoard's own class; it comes in TensorFlow's."""
    return Summary.FromString(summary.SerializeToString())
