"""Weights & Biases, offline: files in R/wandb, which `wandb sync` sends whenever and from wherever one likes.

Each launch writes the run anew from its first step, under the same id. So one file has each step once, over any number
of kills. This file is imported only where --track asks for it.
"""

import shutil
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline.monitoring.history import FINISHED, UNFINISHED, Event
from pipeline.process import environment
from pipeline.tracking.tracker import Point, Tracked, Tracker

_EARLIER = "earlier-"  # what the names of files begin with that are to be removed

environment.set_default("WANDB_ERROR_REPORTING", "false")  # to another host

import wandb  # noqa: E402 (it reads that variable)


def make() -> Tracker:
    """The tracker that writes files."""
    return WandbTracker()


class WandbTracker(Tracker):
    """A run in offline files of Weights & Biases."""

    def __init__(self) -> None:
        self._run: Any = None  # wandb's own
        self._exit_code = 1
        self._earlier: list[Path] = []  # the files of earlier launches

    def open(self, run: Tracked, began: float) -> set[tuple[str, int]]:
        """Begins new files. Those of earlier launches stay until the new ones have their points."""
        self.close()
        for path in run.path.glob(f"wandb/offline-run-*-{run.key}"):
            path.rename(path.with_name(f"{_EARLIER}{path.name}"))  # a name has a second, which the new ones may share
        self._earlier = list(run.path.glob(f"wandb/{_EARLIER}*"))
        settings = wandb.Settings(
            mode="offline",
            root_dir=str(run.path),
            run_id=run.key,
            run_name=run.name,
            project=environment.variables().get("WANDB_PROJECT") or run.project,
            console="off",
            silent=True,
            reinit="create_new",
            disable_git=True,
            save_code=False,
            disable_job_creation=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
        )
        self._run = wandb.init(config=run.flags(), settings=settings)
        return set()

    def send(self, points: Sequence[Point]) -> None:
        """Writes the points of each step."""
        for step, of_step in groupby(points, lambda point: point.step):
            self._run.log({point.name: point.value for point in of_step}, step=step)
        for path in self._earlier:
            shutil.rmtree(path, ignore_errors=True)
        self._earlier = []

    def tell(self, run: Tracked, status: str, last: Event) -> None:
        """Writes the values of a launch's last line to the summary."""
        if status == UNFINISHED:
            return
        self._run.summary.update({name: value for name, value in last.items() if name != "event"} | {"status": status})
        self._exit_code = int(status != FINISHED)

    def publish(self, run: Tracked) -> None:
        """Leaves exports where they are."""

    def close(self) -> None:
        """Writes all that is missing, and closes the files."""
        if self._run is not None:
            self._run.finish(exit_code=self._exit_code)
            self._run = None
