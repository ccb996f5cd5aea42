"""The points that a tracker shows, of the lines of a run."""

import math
from collections.abc import Iterator

from pipeline.config import Config
from pipeline.monitoring.history import Event
from pipeline.tracking.tracker import Point

SPLITS = ("train", "validation", "test")


def points(event: Event) -> Iterator[Point]:
    """The numbers of a line that reports a split. A value that was not finite makes no point."""
    if event["event"] in SPLITS:
        for name, value in event.items():
            if name not in ("event", "step", "time") and type(value) in (int, float) and math.isfinite(value):
                yield Point(f"{event['event']}/{name}", event["step"], float(value), event["time"])


def settled(config: Config, reached: int) -> int:
    """The last step whose numbers no later step can replace, in a run that has reached a step.

    A resume computes the same numbers again, a rollback others: it goes back to a multiple of --checkpoint_every.
    """
    if config.on_divergence != "rollback":
        return reached
    return reached - reached % config.checkpoint_every if config.checkpoint_every else 0
