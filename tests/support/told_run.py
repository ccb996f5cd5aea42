"""A run whose every word is a function of the step, told through a real journal and read back."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util

from pipeline.config import Config
from pipeline.monitoring import hparams
from pipeline.monitoring.journal import Journal, markdown_table

LAST = 8  # the step at which the runs told here are finished


def no_constants(name):
    raise AssertionError(f"{name} is not JSON")


def lines(run_dir: Path) -> list[dict]:
    """The lines of metrics.jsonl by strict JSON, without their time."""
    text = (run_dir / "metrics.jsonl").read_text()
    told = [json.loads(line, parse_constant=no_constants) for line in text.splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in told]


def curves(run_dir: Path) -> dict:
    """Every point that TensorBoard's loader finds, purging nothing itself: {(run, tag): [(step, shape, values)]}."""
    found = {}
    tensorboard = run_dir / "tensorboard"
    for run in sorted({str(path.parent.relative_to(tensorboard)) for path in tensorboard.rglob("events.*")}):
        accumulator = EventAccumulator(str(tensorboard / run), {"tensors": 0}, purge_orphaned_data=False)
        accumulator.Reload()
        for tag in accumulator.Tags()["tensors"]:
            arrays = [(e.step, tensor_util.make_ndarray(e.tensor_proto)) for e in accumulator.Tensors(tag)]
            found[run, tag] = [(step, array.shape, array.tolist()) for step, array in arrays]
    return found


def loss(step: int) -> float:
    return 1 / step


def tell(journal: Journal, first: int, last: int) -> None:
    """What a run tells of steps first ... last; all that is told is a function of the step."""
    for step in range(first, last + 1):
        journal.scalars("train", step, {"loss": loss(step), "accuracy": step / 10})
        if step % 2 == 0:
            journal.points("validation", step, {"per_class_accuracy/a": step / 10})
            journal.pictures("validation", step, {"errors/confusion": Image.new("RGB", (step, 2))})
            journal.scalars("validation", step, {"loss": loss(step) + 1, "accuracy": 0.5})
            journal.histograms(step, {"parameters/conv1/kernel": np.arange(step + 1.0)})
            journal.event("checkpoint", step, bytes=1000)


def start(run_dir: Path, step: int) -> Journal:
    """A start of the run from `step`."""
    journal = Journal(run_dir, step)
    journal.text("configuration", markdown_table({"towers": 2}), step)
    if step == 0:
        journal.whole_run(step, hparams.start(Config(run_dir=str(run_dir))))
    journal.graph(tf.compat.v1.GraphDef(node=[{"name": "x", "op": "Const"}]))
    return journal


def finish(journal: Journal) -> None:
    """What a run tells when it is finished."""
    journal.whole_run(LAST, [hparams.end()])


def num_graphs(run_dir: Path) -> int:
    loaders = [EventFileLoader(str(path)) for path in event_files(run_dir)]
    return sum(event.HasField("graph_def") for loader in loaders for event in loader.Load())


def event_files(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "tensorboard").rglob("events.*"))
