"""The metrics of an evaluation, from all of its verdicts."""

from collections.abc import Sequence

import numpy as np

from pipeline.engine.tally import Tally
from pipeline.engine.verdicts import Verdicts
from pipeline.metrics import calibration, counts, names
from pipeline.metrics.ranking import Ranking
from pipeline.metrics.summary import Metrics, summarize


def measure(
    asked: names.Names, tally: Tally, verdicts: Verdicts, ranks: np.ndarray, rankings: Sequence[Ranking]
) -> Metrics:
    """The metrics that were asked for.

    verdicts: on all shards, in order, with the padding at their end. ranks: [examples], rankings: of each class; both
    are empty where nothing that was asked for needs them.
    """
    labels, predicted, confidence = (
        part.reshape(-1)[: tally.examples] for part in (verdicts.labels, verdicts.predicted, verdicts.confidence)
    )
    return summarize(
        asked,
        tally.examples,
        counts.of_confusion(tally.confusion),
        rankings,
        {name: int((ranks < names.top_k(name)).sum()) for name in asked if names.top_k(name)},
        calibration.calibrate(confidence, labels == predicted) if names.CALIBRATION in asked else None,
    )
