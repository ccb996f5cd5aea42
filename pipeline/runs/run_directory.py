"""The run directory: its paths, its owner, the recorded configuration, and the history."""

import contextlib
import dataclasses
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from pipeline import config as configuration
from pipeline import sources
from pipeline.config import Config
from pipeline.errors import PipelineError, StorageError, UsageError
from pipeline.monitoring.history import History
from pipeline.runs.ownership import Ownership
from pipeline.runs.settings import check
from pipeline.storage.files import expand, replacing, storage_errors
from pipeline.storage.reading import read_small
from pipeline.workers.slurm import JobAttempt


class RunDirectory:
    """A run directory: the paths in it, and its files."""

    def __init__(self, path: Path):
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.config = path / "config.flags"
        self.metrics = path / "metrics.jsonl"
        self.lock = path / "lock"  # names the owner
        self.workers = path / "workers"  # the addresses of workers that nobody named, while they live
        self.placement = path / "placement.txt"
        self.tensorboard = path / "tensorboard"
        self.logs = path / "logs"
        self.code = path / "code"  # the source text of a model that is a function of a script or a notebook
        self.mirror = path / "mirror.json"  # whose mirror it has
        self.tracking = path / "tracking.json"  # the name by which trackers know it
        self.stop_file = path / "stop"  # if it exists, the run stops, as after a signal

    @classmethod
    def existing(cls, path: str) -> "RunDirectory":
        """The directory of a run, to be read. Raises UsageError if it holds no run."""
        if not path:
            raise UsageError("no --run_dir was given; give the one that a training printed, as --run_dir=runs/NAME")
        run = cls(Path(expand(path, "run_dir")))
        if not run.config.is_file():
            raise UsageError(f"run_dir={path} holds no run (no config.flags); {run._nearby()}")
        return run

    def _nearby(self) -> str:
        """A hint at a run in a directory near this one, which holds none."""
        if (self.path.parent / self.config.name).is_file():
            return f"one lies above it: give --run_dir={self.path.parent}"
        below = sorted(path.parent for depth in ("*", "*/*") for path in self.path.glob(f"{depth}/{self.config.name}"))
        if below:
            return f"{len(below)} {'lies' if len(below) == 1 else 'lie'} below it: give one, as --run_dir={below[0]}"
        return "give the --run_dir that a training printed"

    @contextlib.contextmanager
    def own(self, attempt: JobAttempt | None = None) -> Iterator[Ownership]:
        """Owns the directory inside, for this process alone; makes it if need be.

        An error before the configuration is recorded leaves the disk as it was: no directory, no lock.
        Raises StorageError if the directory cannot be written, or if another live process owns it. An earlier `attempt`
        of this process's job is no obstacle.
        """
        existed = [path for path in (self.lock, self.path, *self.path.parents) if os.path.lexists(path)]
        with contextlib.ExitStack() as held:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                ownership = Ownership(self.lock, attempt)
                held.enter_context(ownership.held())
            except OSError as error:
                raise self._not_writable(error) from None
            try:
                yield ownership
            except PipelineError:
                if not self.config.exists():
                    self._remove_all_but(existed)
                raise

    def _remove_all_but(self, existed: Sequence[Path]) -> None:
        """Removes the lock, the name of the run, and the empty directories that this process made."""
        with contextlib.suppress(OSError):  # above a directory that is not empty, all directories stay
            self.mirror.unlink(missing_ok=True)
            for path in (self.lock, self.path, *self.path.parents):
                if path in existed:
                    return
                path.rmdir() if path.is_dir() else path.unlink()

    def _not_writable(self, error: OSError) -> StorageError:
        reason = "a file of that name is in the way" if isinstance(error, FileExistsError) else error.strerror
        return StorageError(f"run_dir={self.path} cannot be written ({reason}); choose another --run_dir")

    def check_code(self, model: str) -> None:
        """Raises UsageError for a model whose source text lies in `code` and is not to be imported from there yet.

        Nobody's code runs because it lies in a run directory: whoever starts a command says so.
        """
        module, colon, _ = model.partition(":")
        file = self.code / f"{module}.py"
        if colon and file.is_file() and importlib.util.find_spec(module) is None:
            raise UsageError(
                f"model={model} was a function of a script or a notebook, whose source text is {file}; read it, then "
                f"start the same command with PYTHONPATH={self.code} (from Python: load with trust_code=True)"
            )

    def clear_stop(self) -> bool:
        """Removes the stop file; returns whether it is gone."""
        with contextlib.suppress(OSError):
            if self.stop_file.is_dir() and not self.stop_file.is_symlink():
                self.stop_file.rmdir()
            else:
                self.stop_file.unlink(missing_ok=True)
        return not os.path.lexists(self.stop_file)

    def log(self, worker: int) -> IO[str]:
        """A worker's log, open for appending; every line is written through. Raises StorageError."""
        path = self.logs / f"worker-{worker}.log"
        with storage_errors(path):
            self.logs.mkdir(parents=True, exist_ok=True)
            return path.open("a", buffering=1)

    def recorded(self) -> Config | None:
        """The recorded configuration; None if there is no run. Raises StorageError if it cannot be read."""
        try:
            return read_flagfile(self.config)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"{self.config} cannot be read: {error}") from None

    def record(self, config: Config) -> None:
        """Writes config.flags, whole or not at all."""
        self.write(self.config, config.to_flags())

    def write(self, path: Path, text: str) -> None:
        """Writes a file of the run, whole or not at all. Raises StorageError."""
        with storage_errors(path), replacing(path) as new:
            new.write_text(text)

    def history(self) -> History:
        """The history of the run, read from its file. Raises StorageError if it cannot be read."""
        return History.read(self.metrics)

    def where(self) -> dict[str, str]:
        """The paths of the run and its checkpoints, and the command that shows them in TensorBoard."""
        return {
            "run directory": str(self.path),
            "checkpoints": str(self.checkpoints),
            "look at it": tensorboard_command(self.path),
        }


def tensorboard_command(logdir: Path) -> str:
    """The command that shows a run, or the runs below a directory, in TensorBoard.

    The --logdir of a run is its directory, not tensorboard/ in it: in the latter, the HParams table finds no metrics.
    """
    tensorboard = os.path.relpath(Path(sys.executable).with_name("tensorboard"))
    return f"{tensorboard} --logdir={logdir}"


def read_flagfile(path: Path) -> Config:
    """The configuration that `Config.to_flags` wrote, validated. Raises OSError, or StorageError naming the damage."""
    try:
        lines = [line.strip() for line in read_small(path).decode().splitlines()]
        values = dict(_read_line(line) for line in lines if line and not line.startswith("#"))
        config = Config(**values)
        config = dataclasses.replace(config, source=sources.normalized(config.source))
        check(config)
    except (UnicodeDecodeError, UsageError) as error:
        raise StorageError(f"{path} is damaged: {error}; bring the original back, or use another --run_dir") from None
    if not values:
        raise StorageError(f"{path} is empty; bring the original back, or use another --run_dir")
    return config


def _read_line(line: str) -> tuple[str, Any]:
    """'--steps=100' -> ('steps', 100). Raises UsageError."""
    name, _, text = line.removeprefix("--").partition("=")
    if name not in Config.__dataclass_fields__:
        raise UsageError(f"'{line}' is not a flag of this version")
    try:
        return name, configuration.parse_value(name, text)
    except ValueError:
        raise UsageError(f"'{line}' has a value that cannot be read") from None
