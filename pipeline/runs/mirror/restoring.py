"""The start of a launch with a mirror: the newest checkpoint that verifies, here or there, becomes this machine's."""

import contextlib
import dataclasses
import itertools
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.config import Config
from pipeline.engine.topology import Topology
from pipeline.errors import PreemptedError, StorageError
from pipeline.monitoring.history import History
from pipeline.monitoring.terminal import Terminal
from pipeline.process import standard_error
from pipeline.process.preemption import Preemption
from pipeline.runs import settings
from pipeline.runs.mirror import layout
from pipeline.runs.mirror.claims import Claim
from pipeline.runs.mirror.layout import Mirror
from pipeline.runs.run_directory import read_flagfile
from pipeline.storage.files import replacing, storage_errors
from pipeline.storage.stores import RefusedError, StoreError

WAIT_S = 60.0  # for a store that does not answer at the start
_REPLACED = ("metrics.jsonl", "placement.txt", "tensorboard", "logs")


def restore(mirror: Mirror, asked: Config, towers: Topology, stop: Preemption) -> None:
    """Claims the mirror, and brings its newest checkpoint that verifies here, if none here is as new.

    Where the store cannot be used, checkpoints here suffice for a start, after a line on stderr. Without one, nobody
    knows what would be lost: then it raises StorageError. Raises UsageError for the mirror of another run, or one that
    was started with another configuration, and PreemptedError.
    """
    restoration = _Restoration(mirror, asked, towers, stop)
    try:
        _patiently(restoration.attempt, stop, mirror.address)
    except StoreError as error:
        if not mirror.checkpoints.steps():
            raise StorageError(
                f"mirror={mirror.address} cannot be used ({error}), and {asked.run_dir} holds no checkpoint, so that "
                "work might be lost; mend the address or the access, then start the same command again"
            ) from None
        standard_error.tell(
            f"mirror={mirror.address} cannot be used ({error}); the run goes on from the checkpoints here, and tries "
            "again beside the training"
        )


def _patiently(attempt: Callable[[], None], stop: Preemption, address: str) -> None:
    """Calls `attempt` until it succeeds. Raises its StoreError once it is final, or after WAIT_S."""
    give_up = time.monotonic() + WAIT_S
    for number in itertools.count():
        try:
            return attempt()
        except RefusedError:
            raise
        except StoreError as error:
            if time.monotonic() > give_up:
                raise
            if number == 0:
                standard_error.tell(f"mirror={address} does not answer ({error}); waiting for it up to {WAIT_S:g} s")
            _check_stop(stop)
            time.sleep(min(2.0**number, 8.0))


def _check_stop(stop: Preemption) -> None:
    if stop.requested:
        raise PreemptedError(f"{stop.reason} before the start; the same command goes on from there")


class _Restoration:
    """The work of `restore`, which may be attempted again and again."""

    def __init__(self, mirror: Mirror, asked: Config, towers: Topology, stop: Preemption):
        self._mirror, self._asked, self._towers, self._stop = mirror, asked, towers, stop
        self._has_files = False  # whether the mirror's files besides checkpoints were brought here

    def attempt(self) -> None:
        found = self._mirror.found()
        sizes = self._mirror.store.sizes() if found else {}
        self._check_settings(sizes)
        self._mirror.record_run(found)
        if found:
            self._bring_newest(found, sizes)
        self._mirror.take(found)

    def _check_settings(self, sizes: dict[str, int]) -> None:
        """Raises UsageError if an empty directory would take over a run of another configuration."""
        directory = self._mirror.directory
        if directory.config.exists() or directory.config.name not in sizes:
            return
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / directory.config.name
            self._mirror.store.download(path.name, sizes[path.name], path)
            recorded = read_flagfile(path)
        named = dataclasses.replace(self._asked, run_dir=self._mirror.address)
        settings.settle(named, recorded, layout.steps(sizes), self._towers)

    def _bring_newest(self, found: Claim, sizes: dict[str, int]) -> None:
        here, withdrawn = self._mirror.checkpoints.steps(), self._mirror.directory.history().withdrawn
        there = [step for step in layout.steps(sizes) if step not in withdrawn]
        reasons = []
        for step in sorted({*here, *there}, reverse=True):
            for source in ([self._verify] if step in here else []) + ([self._bring] if step in there else []):
                try:
                    source(step, there, sizes)
                    return
                except StorageError as error:
                    reasons.append(str(error))
        if here:
            return  # all are damaged, and so the start says
        if there or found.checkpoint >= 0:
            why = "; ".join(reasons) or f"it held one of step {found.checkpoint}, which is gone"
            raise StorageError(
                f"no checkpoint of mirror={self._mirror.address} can be restored ({why}); bring its files back, or "
                "start anew with another --mirror"
            )
        if not self._mirror.directory.config.exists():
            self._bring_files(sizes, last=0)

    def _verify(self, step: int, there: list[int], sizes: dict[str, int]) -> None:
        self._mirror.checkpoints.verify(step)

    def _bring(self, step: int, there: list[int], sizes: dict[str, int]) -> None:
        """Brings a checkpoint here, after the history, and after the best checkpoint: it completes the work."""
        self._mirror.manifest(step)
        self._bring_files(sizes, last=step)
        earlier = [other for other in there if other < step]
        best = self._mirror.directory.history().best_step(earlier, self._asked.best_by)
        if best is not None and best not in self._mirror.checkpoints.steps():
            with contextlib.suppress(StorageError):  # a damaged one: the run goes on without it
                self._mirror.bring(best, self._check)
        self._mirror.bring(step, self._check)
        Terminal(self._asked.quiet).line(f"brought the checkpoint of step {step} from {self._mirror.address}")

    def _bring_files(self, sizes: dict[str, int], last: int) -> None:
        """Brings the files besides checkpoints, with the history up to step `last`. Those here are set aside."""
        if self._has_files:
            return
        directory = self._mirror.directory
        with storage_errors(directory.path):
            _set_aside(directory.path)
            for name in sorted(filter(layout.is_mirrored, sizes)):
                path = directory.path / name
                if path != directory.config or not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with replacing(path) as new:
                        self._mirror.store.download(name, sizes[name], new, self._check)
        history = History.read(directory.metrics)
        history.cut(last)
        directory.write(directory.metrics, "".join(line.text.decode() + "\n" for line in history.lines))
        self._has_files = True

    def _check(self) -> None:
        _check_stop(self._stop)


def _set_aside(path: Path) -> None:
    """Moves the records of an older state of the run into replaced-N.tar. Raises OSError.

    In an archive TensorBoard does not find them, beside those that take their place.
    """
    there = [path / name for name in _REPLACED if (path / name).exists()]
    if there:
        archive = next(new for n in itertools.count(1) if not (new := path / f"replaced-{n}.tar").exists())
        with replacing(archive) as new, tarfile.open(new, "w") as tar:
            for each in there:
                tar.add(each, each.name)
        for each in there:
            shutil.rmtree(each) if each.is_dir() else each.unlink()
