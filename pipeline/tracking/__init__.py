"""Trackers of experiments, which show what stands in metrics.jsonl, by the names that --track takes.

To add one, write a module with a `Tracker` and give it a line in TRACKERS. The module is imported at its first use. It
has `make() -> Tracker`.
"""

import importlib
from typing import NamedTuple

from pipeline.errors import UsageError
from pipeline.process import environment
from pipeline.text import extras
from pipeline.text.spelling import nearest
from pipeline.tracking.tracker import Tracker


class Kind(NamedTuple):
    """A tracker: its module, the package that it needs, and the variable that must say where it is, if any."""

    module: str
    package: str  # its extra has the tracker's name
    address: str = ""
    example: str = ""


TRACKERS = {
    "mlflow": Kind("mlflow_tracker", "mlflow", "MLFLOW_TRACKING_URI", "http://HOST:5000"),
    "wandb": Kind("wandb_tracker", "wandb"),
}


def names(value: str) -> list[str]:
    """'mlflow,wandb' -> ['mlflow', 'wandb']. Raises UsageError for a name that is unknown or there twice."""
    found = [name.strip() for name in value.split(",")] if value else []
    for name in found:
        if name not in TRACKERS:
            raise UsageError(f"track={name} is unknown{nearest(name, TRACKERS)}")
    if len(set(found)) < len(found):
        raise UsageError(f"track={value} names a tracker twice; name each once")
    return found


def check(value: str) -> None:
    """Raises UsageError for a tracker that is unknown, not installed, or of no address. Touches no network."""
    for name in names(value):
        kind = TRACKERS[name]
        extras.check(f"track={name}", kind.package, name)
        if kind.address and not environment.variables().get(kind.address):
            raise UsageError(
                f"track={name} needs the address of its server in {kind.address}, which is not set; "
                f"set it: export {kind.address}={kind.example}"
            )


def made(name: str) -> Tracker:
    """The tracker of this name, of which `check` has no complaint."""
    return importlib.import_module(f"pipeline.tracking.{TRACKERS[name].module}").make()
