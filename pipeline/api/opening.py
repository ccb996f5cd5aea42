"""A checkpoint of a run, on towers in this process."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import UsageError
from pipeline.process.startup import import_tensorflow
from pipeline.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    from pipeline.engine.assembly import Assembly
    from pipeline.engine.towers import Towers
    from pipeline.runs.checkpoints import Restored
    from pipeline.runs.saved_run import SavedRun


class Opened(NamedTuple):
    """A run, the step of the chosen checkpoint, and its parts, of which the towers hold its parameters."""

    saved: "SavedRun"
    step: int
    assembly: "Assembly"
    towers: "Towers"


def opened(
    directory: RunDirectory, checkpoint: str, parameters: str | None, execution: Mapping[str, Any], trust_code: bool
) -> Opened:
    """Imports TensorFlow and brings a checkpoint onto towers.

    checkpoint, parameters, trust_code: as `Run` takes them. execution: the fields that replace the run's. Raises
    UsageError, StorageError.
    """
    import_tensorflow(for_user=True)
    from pipeline.runs.saved_run import SavedRun

    saved = SavedRun(directory, parameters)
    restored = saved.restore(checkpoint)
    with _found_in(str(directory.code.absolute())) if trust_code else contextlib.nullcontext():
        assembly, towers = _assembled(saved, restored, execution)
    return Opened(saved, restored.manifest.step, assembly, towers)


def _assembled(saved: "SavedRun", restored: "Restored", execution: Mapping[str, Any]) -> tuple["Assembly", "Towers"]:
    """The model on its towers. Where this process has set its threads otherwise, its last digits may be others."""
    from pipeline.engine import devices

    try:
        return saved.assemble(restored, execution)
    except UsageError:  # a process sets up its devices once, perhaps for another run
        if devices.threads() == saved.config.intra_op_threads:
            raise
        return saved.assemble(restored, {**execution, "intra_op_threads": devices.threads()})


@contextlib.contextmanager
def _found_in(directory: str) -> Iterator[None]:
    """Inside, modules are also looked for in a directory, after all other places."""
    sys.path.append(directory)
    try:
        yield
    finally:
        sys.path.remove(directory)
