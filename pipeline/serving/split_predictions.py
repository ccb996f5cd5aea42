"""The predictions on a whole split, round by round: those that an evaluation scores, to the bit."""

from collections.abc import Iterator

import numpy as np

from pipeline.engine.evaluation import Evaluator, Round
from pipeline.engine.outputs import Kept
from pipeline.serving.prediction_files import Batch, Classes
from pipeline.sources.base import Source
from pipeline.sources.labels import of_example


def batches(evaluator: Evaluator, source: Source) -> Iterator[Batch]:
    """The predictions on all examples, in the order of the split. One round of the towers is held at a time."""
    done = 0
    for judged in evaluator.rounds(source, Kept(probabilities=True)):
        probabilities = judged.outputs.probabilities
        rows = probabilities.reshape(-1, probabilities.shape[-1])[: len(source) - done]
        examples = range(done, done + len(rows))
        name = _several if evaluator.multi_label else _one
        labels, predicted = name(source, judged, examples, rows)
        yield Batch(examples, [source.where(index) for index in examples], labels, predicted, rows)
        done += len(rows)


def _one(source: Source, judged: Round, examples: range, rows: np.ndarray) -> tuple[Classes, Classes]:
    """The label and the predicted class of each example."""
    numbers = (
        part.reshape(-1)[: len(examples)].tolist() for part in (judged.verdicts.labels, judged.verdicts.predicted)
    )
    labels, predicted = ([source.class_names[number] for number in part] for part in numbers)
    return labels, predicted


def _several(source: Source, judged: Round, examples: range, rows: np.ndarray) -> tuple[Classes, Classes]:
    """The labels and the predicted classes of each example, both in the order of the classes."""
    names, every = source.class_names, source.labels
    labels = [[names[number] for number in sorted(of_example(every, index))] for index in examples]
    return labels, [[names[number] for number in np.flatnonzero(row > 0.5).tolist()] for row in rows]
