"""The ownership of a run directory: one process at a time may write, also where a job starts again before its old end.

The owner's name stands in a file, and the owner holds a lock on that file, which the kernel releases however the
process ends. On a cluster the lock alone is not enough, for two reasons.

* A node that has lost its scheduler keeps its task running while the job starts elsewhere. The later attempt of the
  job then writes its own name to the file. The earlier attempt reads the file before every write and once a second, and
  leaves.
* A shared file system may know locks only within one host, or none at all (as Lustre without the flock option). So the
  owner also touches the file once a second, and a newcomer that no lock stops first waits for such a touch.
"""

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.storage.reading import parse_json, read_small
from pipeline.workers.slurm import JobAttempt

SIGN_OF_LIFE_S = 5.0  # a living owner on another host touches the file within this time
HANDOVER_S = 15.0  # an earlier attempt of this job notices and releases its lock within this time
NOTICE_S = 5.0  # an earlier attempt whose lock is not visible here gets this time to notice

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # the errors of file systems without locks


@dataclasses.dataclass(frozen=True)
class Owner:
    """An owner, as the file names it."""

    name: str  # process PID on HOST
    host: str
    token: str
    life: JobAttempt | None  # the attempt of its job; "life" is its name in the file

    @classmethod
    def this_process(cls, attempt: JobAttempt | None) -> "Owner":
        """This process as a new owner; no two owners are equal."""
        host = socket.gethostname()
        return cls(f"process {os.getpid()} on {host}", host, uuid.uuid4().hex, attempt)

    @classmethod
    def read(cls, path: Path) -> "Owner | None":
        """The owner in the file; None if it names none, or does not exist. Raises OSError if it cannot be read."""
        try:
            fields = parse_json(read_small(path))
            owner = cls(**{**fields, "life": JobAttempt(**fields["life"]) if fields["life"] else None})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None
        texts = (owner.name, owner.host, owner.token, *([owner.life.job] if owner.life else []))
        numbers = [owner.life.number] if owner.life else []
        sound = all(isinstance(text, str) for text in texts) and all(type(number) is int for number in numbers)
        return owner if sound else None

    def succeeds(self, other: "Owner") -> bool:
        """Whether this is a later attempt of the other's job."""
        mine, theirs = self.life, other.life
        return mine is not None and theirs is not None and mine.job == theirs.job and mine.number > theirs.number


class Ownership:
    """One process's claim to a directory, by the file `path`. Any thread may call `check`."""

    def __init__(self, path: Path, attempt: JobAttempt | None):
        self._path, self._own = path, Owner.this_process(attempt)
        self._lock = -1  # the open file; -1 outside of `held`
        self._locked = False
        self._has_locks = True  # whether the file system has locks
        self._guard = threading.Lock()

    @property
    def mark(self) -> str:
        """What the file holds of this owner and of no other."""
        return self._own.token

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Owns the directory inside.

        Raises StorageError if another live process owns it, OSError if the file cannot be written.
        """
        self._lock = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._take()
            yield
        finally:
            with self._guard:
                self._let_go()

    def _take(self) -> None:
        before, self._locked = Owner.read(self._path), self._try_lock()
        may_live = before is not None and (before.host != self._own.host or not self._has_locks)
        lives = not self._locked or (may_live and self._touched())
        if lives and not (before and self._own.succeeds(before)):
            raise StorageError(_refusal(self._path, before))
        self._write(json.dumps(dataclasses.asdict(self._own)))
        if lives and self._locked:
            time.sleep(NOTICE_S)  # the earlier owner's lock is not visible here
        give_up = time.monotonic() + HANDOVER_S
        while not self._locked and time.monotonic() < give_up:  # an owner that is stopped keeps its lock for longer
            time.sleep(0.1)
            self._locked = self._try_lock()

    def _let_go(self) -> None:
        with contextlib.suppress(OSError):
            if Owner.read(self._path) == self._own:  # no other process took over
                self._write("")
        os.close(self._lock)
        self._lock = -1

    def check(self) -> None:
        """Gives a sign of life. Raises StorageError if another process has taken the directory over."""
        with self._guard, contextlib.suppress(OSError):  # a disk that does not answer does not mean a new owner
            if self._lock < 0:
                return
            if (now := Owner.read(self._path)) != self._own:
                name = now.name if now else "an unknown process"
                raise StorageError(
                    f"run_dir={self._path.parent} was taken over by {name}, a later start of the same job; "
                    "leave it the run"
                )
            self._locked = self._locked or self._try_lock()  # an earlier attempt may have released it only now
            os.utime(self._path)

    def _touched(self) -> bool:
        """Whether a living process touches the file within SIGN_OF_LIFE_S."""
        before, give_up = self._changed(), time.monotonic() + SIGN_OF_LIFE_S
        while time.monotonic() < give_up:
            time.sleep(0.2)
            if self._changed() != before:
                return True
        return False

    def _changed(self) -> int:
        """The time of the last touch. Opening the file asks the server of a shared file system for it."""
        with self._path.open() as file:
            return os.fstat(file.fileno()).st_mtime_ns

    def _write(self, text: str) -> None:
        os.pwrite(self._lock, text.encode(), 0)
        os.truncate(self._lock, len(text.encode()))

    def _try_lock(self) -> bool:
        """Whether this process now holds the lock; True where the file system has no locks."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            self._has_locks = False
        return True


def _refusal(path: Path, owner: Owner | None) -> str:
    name = owner.name if owner else "not yet named"
    return f"run_dir={path.parent} belongs to a live run ({name}); wait for its end, or choose another --run_dir"


def mark_in(path: Path) -> str:
    """The mark of the owner that the file names; '' if it names none, or cannot be read."""
    with contextlib.suppress(OSError):
        owner = Owner.read(path)
        return owner.token if owner else ""
    return ""


def obstacle(path: Path, attempt: JobAttempt | None) -> str:
    """Why a process cannot own the directory of this file now; '' if it may try.

    It sees an owner by its lock alone: `Ownership.held` also notices one on a file system without locks.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:  # there is none yet, or `Ownership` will say why not
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(OSError):
            owner = Owner.read(path)
            succeeds = owner is not None and Owner.this_process(attempt).succeeds(owner)
            return "" if succeeds else _refusal(path, owner)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return ""
