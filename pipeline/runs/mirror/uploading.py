"""What a mirror lacks, and the sending of it: files first, then checkpoints, each with its manifest last."""

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.monitoring.history import History
from pipeline.runs import manifests
from pipeline.runs.manifests import Manifest
from pipeline.runs.mirror import layout
from pipeline.runs.mirror.layout import CHECKPOINTS, Mirror
from pipeline.storage.reading import open_regular
from pipeline.storage.stores import StoreError

SMALL = 1 << 20  # bytes up to which a file is sent again at each start, also where one of its size is in the mirror


class Uploader:
    """Brings a claimed mirror up to date with the run directory. It remembers what it has sent."""

    def __init__(self, mirror: Mirror, keep: int, best_by: str):
        """keep: the number of newest checkpoints that the mirror keeps, besides the best. best_by: see --best_by."""
        self._mirror, self._store, self._keep, self._best_by = mirror, mirror.store, keep, best_by
        self._sent: dict[str, tuple[int, int]] = {}  # name -> size and time of change
        self._sizes: dict[str, int] = {}  # of what the mirror held at the start
        self._there: dict[int, dict] | None = None  # the steps in the mirror, and their files; None: not yet looked

    def update(self) -> None:
        """Sends all that the mirror lacks, and prunes it. Raises StoreError, TakenOverError and StorageError.

        The history is read after the list of checkpoints, so the mirror always has the lines that led to each.
        """
        self._mirror.check_owner()
        there = self._look() if self._there is None else self._there
        self._withdraw(there)
        here = self._mirror.checkpoints.steps()
        if max(there, default=-1) > max(here, default=-1):
            return  # it could not be read at the start; its history stays that of its newest checkpoint until then
        files = self._mirror.files()
        self._remove_strays(files)
        for path in files:
            self._send(path)
        kept = self._kept({*here, *there})
        for step in sorted(kept.intersection(here), reverse=True):
            self._send_checkpoint(step, there)
        self._prune(there)

    def _look(self) -> dict[int, dict]:
        self._sizes = self._store.sizes()
        self._there = {}
        for step in layout.steps(self._sizes):
            with contextlib.suppress(StorageError):  # a damaged one counts as missing
                self._there[step] = self._mirror.manifest(step).files
        return self._there

    def _withdraw(self, there: dict[int, dict]) -> None:
        """Removes the checkpoints that may hold wrong numbers: their bytes are as they were saved, and would verify."""
        history = History.read(self._mirror.directory.metrics)
        for step in there.keys() & set(history.withdrawn):
            self._forget(step, there)

    def _kept(self, steps: set[int]) -> set[int]:
        """The steps that stay: those that a run directory with these checkpoints would keep."""
        best = History.read(self._mirror.directory.metrics).best_step(steps, self._best_by)
        return {*sorted(steps)[-self._keep :], *([] if best is None else [best])}

    def _remove_strays(self, files: Sequence[Path]) -> None:
        """Removes event files of launches that this directory knows nothing of: it shows their steps itself."""
        here = {self._mirror.name(path) for path in files}
        strays = [name for name in self._sizes if name.startswith("tensorboard/") and name not in here]
        self._store.remove(strays)
        for name in strays:
            del self._sizes[name]

    def _send(self, path: Path) -> None:
        """Sends a file that changed since it was sent last."""
        name = self._mirror.name(path)
        try:
            file = open_regular(path)
        except OSError:  # gone or replaced at this moment: its turn comes again
            return
        with file:
            status = os.fstat(file.fileno())
            now = (status.st_size, status.st_mtime_ns)
            as_before = self._sizes.get(name) == status.st_size > SMALL and name not in self._sent
            if self._sent.get(name) != now and not as_before:
                self._store.upload(file, name)
            self._sent[name] = now

    def _send_checkpoint(self, step: int, there: dict[int, dict]) -> None:
        """Sends a checkpoint that verifies and that the mirror lacks, its manifest last."""
        checkpoints = self._mirror.checkpoints
        try:
            if checkpoints.manifest(step).files == there.get(step):
                return
            manifest = checkpoints.verify(step)
            self._forget(step, there)
            self._send_files(manifest)
        except (StorageError, OSError):  # damaged, or pruned meanwhile: the start of a run tells of damage
            return
        self._mirror.check_owner()
        self._store.write(layout.manifest_name(step), manifests.text(manifest).encode())
        there[step] = manifest.files
        self._mirror.reached(step)

    def _send_files(self, manifest: Manifest) -> None:
        with contextlib.ExitStack() as opened:
            names = {name: self._mirror.checkpoints.directory / name for name in manifest.files}
            files = {name: opened.enter_context(open_regular(path)) for name, path in names.items()}
            for name, file in files.items():
                self._store.upload(file, CHECKPOINTS + name)
        sizes = self._store.sizes(CHECKPOINTS)
        for name, said in manifest.files.items():
            if sizes.get(CHECKPOINTS + name) != said["bytes"]:
                raise StoreError(f"{CHECKPOINTS}{name} did not arrive whole")

    def _forget(self, step: int, there: dict[int, dict]) -> None:
        """Removes a manifest from the mirror, before its files change."""
        self._store.remove([layout.manifest_name(step)])
        there.pop(step, None)

    def _prune(self, there: dict[int, dict]) -> None:
        """Removes the checkpoints that the mirror does not keep, and what is left of uploads that were cut short."""
        kept = self._kept(set(there))
        names = self._store.sizes(CHECKPOINTS)
        steps = {name: int(match[1]) for name in names if (match := re.match(r"checkpoints/ckpt-(\d{1,18})\.", name))}
        gone = sorted(name for name, step in steps.items() if step not in kept)
        self._store.remove([name for name in gone if name.endswith(".json")])  # first: without it there is none
        self._store.remove([name for name in gone if not name.endswith(".json")])
        for step in set(there) - kept:
            del there[step]
