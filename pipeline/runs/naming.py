"""Random names of runs, which stand in small files of their directories: by them others know a run again."""

import json
import uuid
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.storage.reading import parse_json, read_small


def new() -> str:
    """A name for a run that has none yet."""
    return uuid.uuid4().hex


def read(path: Path, flag: str) -> str:
    """The name in a file; "" without one. Raises StorageError for damage. flag: the one that asks for a name."""
    try:
        run = parse_json(read_small(path))["run"]
        if type(run) is not str or not run:
            raise ValueError("it names no run")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{path} is damaged ({error}); bring the original back, or leave --{flag} out") from None
    return run


def text(name: str) -> str:
    """The content of a file that names a run."""
    return json.dumps({"run": name}) + "\n"
