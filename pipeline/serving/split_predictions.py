"""The predictions on a whole split, round by round: those that an evaluation scores, to the bit."""

from collections.abc import Iterator

import numpy as np

from pipeline.engine.answers import Kept
from pipeline.engine.evaluation import Evaluator
from pipeline.serving.prediction_files import Batch
from pipeline.sources.base import Source


def batches(evaluator: Evaluator, source: Source) -> Iterator[Batch]:
    """The predictions on all examples, in the order of the split. One round of the towers is held at a time."""
    done, names = 0, np.array(source.class_names, object)
    for judged in evaluator.rounds(source, Kept(probabilities=True)):
        probabilities = judged.answers.probabilities
        rows = probabilities.reshape(-1, probabilities.shape[-1])[: len(source) - done]
        examples = range(done, done + len(rows))
        labels, predicted = (
            names[part.reshape(-1)[: len(rows)]].tolist()
            for part in (judged.verdicts.labels, judged.verdicts.predicted)
        )
        yield Batch(examples, [source.where(index) for index in examples], labels, predicted, rows)
        done += len(rows)
