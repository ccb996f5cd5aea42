"""Whose a mirror is: the run that it belongs to, and the launch that writes it. It stands in the mirror's mirror.json.

The run directory has a mirror.json too, with the run alone. So neither a mirror nor a directory is ever mixed with
those of another run.
"""

import dataclasses
import json
import os
import socket
import uuid

from pipeline.errors import StorageError
from pipeline.storage.reading import parse_json
from pipeline.storage.stores import NotThereError, Store

NAME = "mirror.json"
_MOST_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class Claim:
    """A launch's claim to a mirror."""

    run: str  # a random name that a run gets with its first mirror
    owner: str  # a random name of the launch
    process: str  # process PID on HOST
    checkpoint: int = -1  # the highest step of which the mirror ever held a whole checkpoint

    @classmethod
    def of_this_process(cls, run: str, checkpoint: int) -> "Claim":
        """A claim that no other launch has."""
        return cls(run, uuid.uuid4().hex, f"process {os.getpid()} on {socket.gethostname()}", checkpoint)

    @classmethod
    def read(cls, store: Store) -> "Claim | None":
        """The claim in a mirror; None in a store that is no mirror. Raises StoreError, or StorageError for damage."""
        try:
            content = store.read(NAME, 0, _MOST_BYTES)
        except NotThereError:
            return None
        try:
            claim = cls(**parse_json(content))
            sound = all(type(value) is str for value in (claim.run, claim.owner, claim.process))
            if not sound or type(claim.checkpoint) is not int:
                raise ValueError("a field is of another type")
        except (ValueError, TypeError) as error:
            raise StorageError(
                f"{store.address}/{NAME} is damaged ({error}); bring the original back, or give another --mirror"
            ) from None
        return claim

    def write(self, store: Store) -> None:
        """Writes the claim to a mirror. Raises StoreError."""
        store.write(NAME, json.dumps(dataclasses.asdict(self)).encode())
