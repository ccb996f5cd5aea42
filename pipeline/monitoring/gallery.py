"""A model in TensorBoard: its scores class by class, its mistakes, its parameters."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from pipeline.engine.state import Values
from pipeline.engine.tally import Mistake, Tally
from pipeline.metrics.summary import Metrics
from pipeline.monitoring import metric_pictures, pictures
from pipeline.monitoring.journal import Journal
from pipeline.monitoring.pictures import Caption
from pipeline.sources.base import Source


def show_tally(journal: Journal, split: str, step: int, tally: Tally, source: Source) -> None:
    """Shows the accuracy and metrics of classes, the worst mistakes, of one label the confusion matrix."""
    by_class = tally.by_class(source.class_names)
    journal.points(split, step, {f"per_class_accuracy/{name}": accuracy for name, accuracy in by_class.items()})
    shown = {"errors/examples": mistakes(tally, source)}
    if not tally.multi_label:
        shown = {"errors/confusion": metric_pictures.confusion(tally.confusion, source.class_names), **shown}
    journal.pictures(split, step, shown)
    if tally.metrics:
        low, high = tally.accuracy_interval
        journal.points(split, step, {"metrics/accuracy_low": low, "metrics/accuracy_high": high})
        _show_metrics(journal, split, step, tally.metrics, source.class_names)


def _show_metrics(journal: Journal, split: str, step: int, metrics: Metrics, class_names: Sequence[str]) -> None:
    """Shows the metrics of each class that have a value, and the calibration. `Journal.scalars` shows the averages."""
    points = {
        f"per_class_{metric}/{name}": float(value)
        for metric, values in metrics.by_class.items()
        for name, value in zip(class_names, values, strict=True)
        if not np.isnan(value)
    }
    if points:
        journal.points(split, step, points)
    if metrics.calibration:
        journal.pictures(split, step, {"errors/calibration": metric_pictures.calibration(metrics.calibration)})


def mistakes(tally: Tally, source: Source) -> Image.Image:
    """The examples of a tally's mistakes, each with its class and the predicted class."""
    what = "with a wrong label" if tally.multi_label else "taken for another class"
    title = f"{tally.wrong:,} of {tally.examples:,} {what}"
    if not tally.mistakes:
        return pictures.captioned([], [], title)
    raw, _ = source.fetch(tf.constant([mistake.example for mistake in tally.mistakes], tf.int64))
    captions = [_captions(mistake, tally.answers(source.class_names)) for mistake in tally.mistakes]
    return pictures.captioned(source.decode(raw).numpy(), captions, f"{title}; the most confident:")


def _captions(mistake: Mistake, answers: tuple[str, ...]) -> list[Caption]:
    true, predicted = (pictures.shortened(answers[number]) for number in (mistake.label, mistake.predicted))
    return [
        Caption(f"is {true}"),
        Caption(f"taken for {predicted}", pictures.WRONG),
        Caption(f"{mistake.confidence:.1%} sure"),
    ]


def show_parameters(journal: Journal, step: int, values: Values, channels: int) -> None:
    """Shows histograms of the parameters and, where the first layer is a convolution, its filters."""
    parameters = {name: value for name, value in values.items() if name.startswith("parameters/")}
    journal.histograms(step, parameters)
    kernels = [value for value in parameters.values() if value.ndim > 1]
    if kernels and kernels[0].ndim == 4 and kernels[0].shape[2] == channels:
        journal.pictures("train", step, {"filters/first_layer": pictures.filters(kernels[0])})
