"""`pipeline.train`: a training with the flags of the command line, in a process of its own."""

import contextlib
import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.api import arguments, child, model_source, screen
from pipeline.api.arguments import Value
from pipeline.api.loading import Run, load
from pipeline.api.model_source import ModelSource
from pipeline.config import Config
from pipeline.runs.run_directory import RunDirectory
from pipeline.storage.files import storage_errors

if TYPE_CHECKING:
    import keras


def train(*, model: "str | Callable[..., keras.Model]" = Config.model, **flags: Value) -> Run:
    """Trains a run from its start or from its newest checkpoint; returns it once it is finished.

    The arguments are the flags of `python -m pipeline.train`, as train(source="mnist", steps=2000), with its defaults.
    `model` may also be a function (image_shape, num_classes) -> keras.Model of the calling program; docs/python.md says
    what it may use. The same call again resumes the run, or returns it if it is finished.

    The training is a process of its own, with this one's directory and environment. It shows its progress here. An
    interrupt (Ctrl-C) saves its state and stops it, and is raised again; it also saves and stops if this process ends.

    Raises the errors of `pipeline.errors`, for the reasons for which the command ends with their exit codes:
    UsageError, BadDataError, DivergedError, StorageError, PreemptedError, PeerLostError. RuntimeError if the training
    crashed.
    """
    source = model_source.of(model)
    config = arguments.settled({**flags, "model": source.name})
    directory = RunDirectory(Path(config.run_dir))
    with _beside(directory, source), _alone(source) as place:
        child.train(config.to_arguments(), [*place, *_callers_path()], screen.here(), config.quiet)
    return load(directory.path, trust_code=bool(source.text))


def _signed(function: Any) -> None:
    """Shows every flag in help() and in editors."""
    function.__signature__ = arguments.signature(Run)


_signed(train)


@contextlib.contextmanager
def _beside(directory: RunDirectory, source: ModelSource) -> Iterator[None]:
    """Inside, the text of a model lies in the run directory: as a record, which stays if there came a run of it."""
    if not source.text:
        yield
        return
    file = directory.code / source.file
    made = [path for path in (file, *file.parents) if not path.exists()]
    with storage_errors(file):
        directory.code.mkdir(parents=True, exist_ok=True)
        directory.write(file, source.text)
    try:
        yield
    finally:
        if not directory.config.exists():
            _remove(made)


@contextlib.contextmanager
def _alone(source: ModelSource) -> Iterator[list[str]]:
    """The directory in which a training finds a model's text, and nothing that lay in its run directory before."""
    if not source.text:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="pipeline-") as place:
        Path(place, source.file).write_text(source.text)
        yield [place]


def _remove(made: list[Path]) -> None:
    """Removes these files and directories, innermost first, up to the first that holds anything else."""
    with contextlib.suppress(OSError):
        for path in made:
            path.rmdir() if path.is_dir() else path.unlink()


def _callers_path() -> list[str]:
    """The directories in which this program finds its modules, without those of every Python of this installation."""
    own = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    own += [*site.getsitepackages(), site.getusersitepackages()]
    paths = (Path(entry or os.getcwd()).absolute() for entry in sys.path)
    return [str(p) for p in paths if p.is_dir() and not any(p.is_relative_to(place) for place in own)]
