"""Verified checkpoints. Only this file and checkpoint_files.py touch them on disk.

A checkpoint of step s is TensorFlow's own ckpt-s.index and ckpt-s.data-*, and ckpt-s.manifest.json with the SHA-256
of each file. All are written in a hidden directory .writing-ckpt-s-PID and then moved to their names, the manifest
last. If the hidden directory exists and the manifest does not, a kill cut the write short, and the checkpoint does not
exist yet. If neither exists, the manifest was lost, and the checkpoint is damaged.
"""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline.config import MOST_WHOLE
from pipeline.engine import state
from pipeline.errors import StorageError
from pipeline.runs import checkpoint_files, manifests
from pipeline.runs.manifests import Manifest
from pipeline.storage.files import storage_errors, sync
from pipeline.storage.reading import without_patterns

GLOBAL_STEP = "global_step"


@dataclasses.dataclass(frozen=True)
class Restored:
    """The contents of a verified checkpoint, and the newer checkpoints that were passed over."""

    manifest: Manifest
    values: state.Values
    passed_over: dict[int, str]  # step -> reason


class Checkpoints:
    """The checkpoints in one directory. Any process may read; only the run's owner may `save`, `prune` and `tidy`."""

    def __init__(self, directory: Path, check_owner: Callable[[], None] = lambda: None):
        """check_owner: raises StorageError once another process owns the directory."""
        self.directory, self._check_owner = directory, check_owner
        self._writer = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: concurrent.futures.Future | None = None

    def steps(self) -> list[int]:
        """The steps of the checkpoints in the directory, good or damaged, in order."""
        found = {int(match[1]) for name in self._names() if (match := re.match(r"ckpt-(\d+)\.", name))}
        return sorted(found - self._cut_short())

    def manifest(self, step: int) -> Manifest:
        """The manifest of a step, its files unverified. Raises StorageError if it is missing or damaged."""
        return manifests.read(self.directory, step)

    def verify(self, step: int) -> Manifest:
        """The manifest, after the hash of every file was verified. Raises StorageError naming the damage."""
        manifest = self.manifest(step)
        said_of = {self.directory / name: said for name, said in manifest.files.items()}
        found_of = checkpoint_files.descriptions({path: said["bytes"] for path, said in said_of.items()})
        for path, said in said_of.items():
            found = found_of[path]
            if isinstance(found, OSError):
                raise StorageError(f"ckpt-{step} is not whole: {path}: {found.strerror}")
            if found != said:
                raise StorageError(f"{path} is damaged: {found['bytes']} bytes of another hash than its manifest says")
        return manifest

    def read(self, step: int) -> Restored:
        """The contents of a checkpoint that verifies. Raises StorageError."""
        manifest = self.verify(step)
        try:
            values = self._values(step)
        except tf.errors.OpError as error:
            raise StorageError(f"ckpt-{step} cannot be read: {error.message}") from None
        del values[GLOBAL_STEP]  # the manifest has it too
        return Restored(manifest, values, {})

    def _values(self, step: int) -> state.Values:
        """The arrays in a checkpoint's files."""
        with without_patterns(self.directory) as directory:
            reader = tf.train.load_checkpoint(f"{directory}/ckpt-{step}")
            return {name: reader.get_tensor(name) for name in sorted(reader.get_variable_to_shape_map())}

    def newest(
        self, fitted: Callable[[Restored], Restored] = lambda restored: restored, most: int = MOST_WHOLE
    ) -> Restored | None:
        """The newest good checkpoint of steps up to `most`; None if the directory holds none.

        fitted: checks or changes a candidate; its StorageError passes the candidate over.
        Raises StorageError if all checkpoints are damaged: a start from scratch would bury them.
        """
        passed_over: dict[int, str] = {}
        for step in reversed([step for step in self.steps() if step <= most]):
            try:
                return dataclasses.replace(fitted(self.read(step)), passed_over=passed_over)
            except StorageError as error:
                passed_over[step] = str(error)
        if passed_over:
            raise StorageError(
                f"no checkpoint in {self.directory} can be restored ({'; '.join(passed_over.values())}); "
                "restore the files from a copy, or start anew in another --run_dir"
            )
        return None

    def save(
        self, step: int, values: state.Snapshot, about: Mapping[str, Any], done: Callable[[Manifest, float], None]
    ) -> None:
        """Writes a checkpoint in the background, after the previous one; then calls `done(manifest, seconds)` there.

        about: the manifest's fields about the run, see `Assembly.about`.
        Raises StorageError if the previous one failed.
        """
        self.wait()
        self._pending = self._writer.submit(self._write, step, values, dict(about), done)

    def wait(self) -> None:
        """Returns when no checkpoint is being written. Raises StorageError if the last write failed."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def adopt(self, manifest: Manifest, fetch: Callable[[str, Path], None]) -> None:
        """Takes over a checkpoint from elsewhere, whole or not at all. fetch: writes the file of a name to a path.

        Files of this step that lie here are renamed to damaged-... Raises StorageError for files that are not those of
        the manifest and for a disk that refuses them, and what `fetch` raises.
        """
        step = manifest.step
        hidden = self.directory / f".writing-ckpt-{step}-{os.getpid()}"
        try:
            with storage_errors(hidden):
                hidden.mkdir(parents=True, exist_ok=True)
                for name, said in manifest.files.items():
                    fetch(name, hidden / name)
                    if checkpoint_files.description(hidden / name) != said:
                        raise StorageError(f"{name} is damaged where it comes from: its hash is not its manifest's")
                (hidden / self._manifest(step).name).write_text(manifests.text(manifest))
                for path in self._files(step):
                    path.rename(_aside(path))
                self._publish(hidden, step)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    def prune(self, newest: int, also: set[int]) -> None:
        """Deletes all but the `newest` last steps and those in `also`. Raises OSError."""
        for step in self.steps()[:-newest]:
            if step not in also:
                self._delete(step)

    def drop_after(self, step: int) -> None:
        """Deletes the checkpoints of later steps, which a rollback to this one leaves behind. Raises StorageError."""
        self._check_owner()
        with storage_errors(self.directory):
            for later in self.steps():
                if later > step:
                    self._delete(later)

    def _delete(self, step: int) -> None:
        self._manifest(step).unlink(missing_ok=True)  # first: without it the checkpoint does not exist
        for path in self._files(step):
            path.unlink(missing_ok=True)

    def leftovers(self) -> list[str]:
        """The names of files of a checkpoint, good or damaged, without those of writes that were cut short."""
        cut_short = tuple(f"ckpt-{step}." for step in self._cut_short())
        return sorted(
            n
            for n in self._names()
            if re.match(r"(damaged-(\d+-)?)?ckpt-\d+\.", n) and not n.startswith(cut_short or ("\0",))
        )

    def tidy(self, damaged: Iterable[int]) -> None:
        """Renames the files of damaged steps to damaged-..., and deletes the files of writes that were cut short.

        Raises StorageError.
        """
        with storage_errors(self.directory):
            for step in damaged:
                for path in self._files(step):
                    path.rename(_aside(path))
            for step in self._cut_short():
                for path in self._files(step):
                    path.unlink()
        for name in self._names():  # last: these directories mark the writes that were cut short
            if name.startswith(".writing-"):
                shutil.rmtree(self.directory / name, ignore_errors=True)

    def _write(self, step: int, values: state.Snapshot, about: dict[str, Any], done: Callable) -> None:
        started = time.monotonic()
        hidden = self.directory / f".writing-ckpt-{step}-{os.getpid()}"
        try:
            hidden.mkdir(parents=True, exist_ok=True)
            manifest = self._write_hidden(hidden, step, values, about)
            self._publish(hidden, step)
        except (OSError, tf.errors.OpError) as error:
            self._check_owner()  # a new owner tidies up itself, and its own writes must stay
            with contextlib.suppress(StorageError):
                self.tidy(())  # the unfinished files may have taken the last of the space
            reason = str(error.strerror if isinstance(error, OSError) else error.message.rpartition("; ")[2])
            raise StorageError(
                f"checkpoint of step {step} could not be written in {self.directory}: {reason.partition(' [Op:')[0]}; "
                "free some space or mend the file system, then start the same command again"
            ) from None
        done(manifest, time.monotonic() - started)

    def _publish(self, hidden: Path, step: int) -> None:
        """Moves the files of a checkpoint from a hidden directory to their names. Raises OSError, and StorageError."""
        self._check_owner()
        self._manifest(step).unlink(missing_ok=True)
        *files, manifest_file = sorted(hidden.iterdir(), key=lambda path: path.name.endswith(".json"))
        for group in (files, [manifest_file]):  # so that no power cut leaves a manifest without its files
            for path in group:
                sync(path)
                path.rename(self.directory / path.name)
            sync(self.directory)
        shutil.rmtree(hidden, ignore_errors=True)

    def _write_hidden(self, hidden: Path, step: int, values: state.Snapshot, about: dict[str, Any]) -> Manifest:
        written = checkpoint_files.write(hidden, step, values, GLOBAL_STEP)
        hashes = written.parameters_sha256, written.state_sha256
        manifest = Manifest(step, time.time(), *hashes, written.files, **about)
        (hidden / self._manifest(step).name).write_text(manifests.text(manifest))
        return manifest

    def _names(self) -> list[str]:
        with storage_errors(self.directory):
            try:
                return [path.name for path in self.directory.iterdir()]
            except FileNotFoundError:
                return []

    def _cut_short(self) -> set[int]:
        """The steps of writes that were cut short."""
        hidden = {int(match[1]) for name in self._names() if (match := re.match(r"\.writing-ckpt-(\d+)-", name))}
        return {step for step in hidden if not self._manifest(step).exists()}

    def _files(self, step: int) -> list[Path]:
        """The files of a step, with its manifest."""
        return [self.directory / name for name in self._names() if name.startswith(f"ckpt-{step}.")]

    def _manifest(self, step: int) -> Path:
        return manifests.path(self.directory, step)


def _aside(path: Path) -> Path:
    """A free name for a damaged file: damaged-NAME, or damaged-2-NAME where that one lies there already."""
    names = itertools.chain([f"damaged-{path.name}"], (f"damaged-{n}-{path.name}" for n in itertools.count(2)))
    return next(new for name in names if not os.path.lexists(new := path.with_name(name)))
