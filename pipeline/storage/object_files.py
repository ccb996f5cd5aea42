"""Files in buckets, found by a pattern and read by ranges, through fsspec. Imported only where an address asks for it.

Of s3:// and gs:// the extras are known. Every other protocol of fsspec works, too, where its package is installed.
"""

import glob
import hashlib
import threading
from collections.abc import Mapping
from typing import Any

from pipeline.storage.object_store import filesystem, store_errors
from pipeline.storage.stores import ChangedError, NotThereError, Stored, StoreError

# The entries of a listing that tell one content of an object from another, the surest first.
_VERSIONS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "updated", "mtime", "created")


class ObjectFiles:
    """The files of one protocol. For several threads; every method raises StoreError."""

    def __init__(self, protocol: str, timeout_s: float):
        """timeout_s: seconds without an answer after which a request fails."""
        with store_errors():
            self._files = filesystem(protocol, **_options(protocol, timeout_s))
        self._opened: dict[Stored, Any] = {}
        self._opening = threading.Lock()

    def find(self, pattern: str) -> list[Stored]:
        """The objects that a glob matches, sorted by address; just the one at an address that is no glob.

        Raises NotThereError where the store says that it has no such bucket.
        """
        with store_errors():
            if not glob.has_magic(pattern):
                entries = [self._files.info(pattern)]
            else:
                self._check_bucket(pattern)
                entries = list(self._files.glob(pattern, detail=True).values())
            found = [self._stored(entry) for entry in entries if entry["type"] == "file"]
        return sorted(found)

    def read(self, file: Stored, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end` <= its size. Raises ChangedError if it is not what was found."""
        with store_errors():
            content = self._fetch(file, start, end)
        if len(content) != end - start:
            raise StoreError(f"{len(content)} bytes came of {end - start}")
        return content

    def _fetch(self, file: Stored, start: int, end: int) -> bytes:
        opened = self._open(file)
        if opened is not None:  # sends the ETag along with each request
            try:
                return opened._fetch_range(start, end)
            except OSError as error:
                if type(error).__name__ == "FileExpired":
                    raise ChangedError("it changed") from None
                raise
        content = self._files.cat_file(file.path, start=start, end=end)
        self._check_same(file, self._files.info(file.path))  # afterwards: then it was the same before
        return content

    def _open(self, file: Stored) -> Any:
        """The open file of fsspec, which is kept; None for protocols whose requests cannot demand a version."""
        if file.path.partition("://")[0] not in ("s3", "s3a"):
            return None
        if (opened := self._opened.get(file)) is None:
            opened = self._files.open(file.path, "rb", cache_type="none")
            self._check_same(file, opened.details)
            with self._opening:
                opened = self._opened.setdefault(file, opened)
        return opened

    def _check_same(self, file: Stored, entry: Mapping[str, Any]) -> None:
        if self._stored(entry)[1:] != file[1:]:
            raise ChangedError("it changed")

    def _check_bucket(self, pattern: str) -> None:
        """A glob in a bucket that is not there, or may not be listed, matches nothing, and says nothing."""
        below = pattern[: next(i for i in range(len(pattern)) if glob.has_magic(pattern[i : i + 1]))]
        parent = below.rpartition("/")[0]
        try:
            self._files.ls(parent, detail=False)
        except FileNotFoundError:
            if parent.count("/") > 2:  # PROTOCOL://BUCKET has two
                self._files.ls("/".join(parent.split("/")[:3]), detail=False)
                raise NotThereError(f"nothing lies in {parent}") from None
            raise

    def _stored(self, entry: Mapping[str, Any]) -> Stored:
        said = next((f"{key}={entry[key]}" for key in _VERSIONS if entry.get(key)), "")
        version = int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big") >> 2
        if type(entry["size"]) is not int:
            raise StoreError(f"{entry['name']} has no known size")
        return Stored(self._files.unstrip_protocol(entry["name"]), entry["size"], version)


def _options(protocol: str, timeout_s: float) -> dict[str, Any]:
    if protocol in ("s3", "s3a"):
        times = {"connect_timeout": timeout_s, "read_timeout": timeout_s, "retries": {"max_attempts": 1}}
        return {"config_kwargs": {**times, "max_pool_connections": 64}}
    return {"requests_timeout": timeout_s} if protocol in ("gs", "gcs") else {}
