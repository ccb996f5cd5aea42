"""A store in a bucket, through fsspec. This file is imported only where an address asks for it."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import IO, Any

import fsspec

from pipeline.storage.stores import NotThereError, RefusedError, Store, StoreError

PART = 16 << 20  # bytes of a part of a large upload
# Retries are our caller's: a second layer of them would hide for minutes that a store does not answer.
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "max_concurrency": 2,  # parts in memory at once
        "config_kwargs": {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 1}},
    },
    "gs": {"requests_timeout": 60},
}
_REFUSALS = ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "RefreshError")


class ObjectStore(Store):
    """A prefix of a bucket. The object stores themselves let an object appear whole, also one sent in parts."""

    def __init__(self, address: str):
        """address: PROTOCOL://BUCKET/PREFIX. No network is touched before the first method is called."""
        super().__init__(address)
        protocol, _, path = address.partition("://")
        self._root = path.strip("/")
        with store_errors():
            self._files = filesystem(protocol, **_OPTIONS[protocol])

    def sizes(self, below: str = "") -> dict[str, int]:
        with store_errors():
            try:
                found = self._files.find(f"{self._root}/{below}".rstrip("/"), detail=True)
            except FileNotFoundError:  # a prefix without objects
                return {}
        return {name.removeprefix(f"{self._root}/"): entry["size"] for name, entry in found.items()}

    def read(self, name: str, start: int, end: int) -> bytes:
        with store_errors():
            return self._files.cat_file(f"{self._root}/{name}", start=start, end=end)

    def write(self, name: str, content: bytes) -> None:
        with store_errors():
            self._files.pipe_file(f"{self._root}/{name}", content)

    def upload(self, file: IO[bytes], name: str) -> None:
        with store_errors():  # a path through the open file, which works after its deletion, too
            self._files.put_file(f"/proc/self/fd/{file.fileno()}", f"{self._root}/{name}", chunksize=PART)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:  # one by one: the call for many hides which of them were refused
            with store_errors(), contextlib.suppress(FileNotFoundError):
                self._files.rm_file(f"{self._root}/{name}")


def filesystem(protocol: str, **options: Any) -> Any:
    """The file system of fsspec for a protocol. It neither repeats a request that fails nor remembers a listing."""
    files = fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True, **options)
    files.retries = 1
    return files


@contextlib.contextmanager
def store_errors() -> Iterator[None]:
    """Raises StoreError for every error, since each library has its own, which are not all of OSError."""
    try:
        yield
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise NotThereError(_reason(error)) from error
    except Exception as error:
        refused = isinstance(error, PermissionError) or type(error).__name__ in _REFUSALS
        raise (RefusedError if refused else StoreError)(_reason(error)) from error


def _reason(error: Exception) -> str:
    text = str(error.strerror or error) if isinstance(error, OSError) else str(error)
    return " ".join(text.split())[:300] or type(error).__name__
