"""A model in TensorBoard: its scores class by class, its mistakes, its parameters."""

import tensorflow as tf
from PIL import Image

from pipeline.engine.state import Values
from pipeline.engine.tally import Mistake, Tally
from pipeline.monitoring import pictures
from pipeline.monitoring.journal import Journal
from pipeline.monitoring.pictures import Caption
from pipeline.sources.base import Source


def show_tally(journal: Journal, split: str, step: int, tally: Tally, source: Source) -> None:
    """Shows the accuracy of each class, the confusion matrix where a label is one class, and the worst mistakes."""
    by_class = tally.by_class(source.class_names)
    journal.points(split, step, {f"per_class_accuracy/{name}": accuracy for name, accuracy in by_class.items()})
    shown = {"errors/examples": mistakes(tally, source)}
    if not tally.multi_label:
        shown = {"errors/confusion": pictures.confusion(tally.confusion, source.class_names), **shown}
    journal.pictures(split, step, shown)


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
