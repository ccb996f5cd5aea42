"""A run's row in TensorBoard's HParams table: its hyperparameters, and its scores."""

from pathlib import Path

import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api, api_pb2
from tensorboard.plugins.hparams.summary import experiment_pb, session_end_pb, session_start_pb

from pipeline.config import Config
from pipeline.monitoring.summaries import chart

# The fields that people vary and compare. TensorBoard first shows five columns: SHOWN_FIRST.
FIELDS = (
    *("source", "model", "global_batch", "steps", "optimizer", "learning_rate", "schedule", "warmup_steps", "momentum"),
    *("weight_decay", "clip_norm", "label_smoothing", "augment", "precision", "seed", "grad_shards", "towers"),
)
SHOWN_FIRST = ("global_batch", "learning_rate", "model", "optimizer", "seed")
# (split, tag). TensorBoard has one run for each split, below the run that opens the row.
METRICS = tuple((split, tag) for split in ("test", "validation") for tag in ("accuracy", "loss"))


def start(config: Config) -> list[Summary]:
    """The summaries that open the run's row. The row has the directory's name, so that equal values share no row."""
    columns = [api_pb2.HParamInfo(name=field, differs=field in SHOWN_FIRST) for field in FIELDS]
    metrics = [api.Metric(chart(tag), group=split, display_name=f"{split} {tag}").as_proto() for split, tag in METRICS]
    path = Path(config.run_dir)
    values = {field: getattr(config, field) for field in FIELDS}
    row = session_start_pb(values, group_name=f"{path.name} ({path.parent})")
    return [_native(experiment_pb(columns, metrics)), _native(row)]


def end() -> Summary:
    """The summary that marks the run as finished."""
    return _native(session_end_pb(api_pb2.STATUS_SUCCESS))


def _native(summary: tf.compat.v1.Summary) -> Summary:
    """The message, converted from TensorFlow's class to TensorBoard's."""
    return Summary.FromString(summary.SerializeToString())
