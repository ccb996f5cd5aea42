"""An object store with the interface of S3 on this machine, which fails, refuses and dawdles when it is told to."""

import contextlib
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import boto3
import commands
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug import Response
from werkzeug.serving import make_server

BUCKET = "bucket"
CREDENTIALS = {
    **{"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"},
    "AWS_EC2_METADATA_DISABLED": "true",
}
_ERROR = "<?xml version='1.0'?><Error><Code>{0}</Code><Message>{1}</Message></Error>"

FAILING = (500, "InternalError", "We encountered an internal error.")
EXPIRED = (403, "ExpiredToken", "The provided token has expired.")


class ObjectServer:
    """A server in threads of this process, with one empty bucket. It forgets what another one of this process holds."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.fault: tuple[int, str, str] | None = None  # status, code and message of every answer
        # Called with method and name of each request; one for which it returns False fails, without effect.
        self.before: Callable[[str, str], bool] = lambda method, path: True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="someone",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")).close()
        self.client.create_bucket(Bucket=BUCKET)

    def _answer(self, environ, start_response):
        path = environ["PATH_INFO"].removeprefix(f"/{BUCKET}/")
        fault = self.fault or (None if self.before(environ["REQUEST_METHOD"], path) else FAILING)
        if fault is None:
            return self._moto(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, code, message = fault
        return Response(_ERROR.format(code, message), status, mimetype="application/xml")(environ, start_response)

    def environment(self, **changes: str) -> dict[str, str]:
        """The environment of a command that uses this server."""
        return commands.environment(**CREDENTIALS, AWS_ENDPOINT_URL=self.url, **changes)

    def names(self, prefix: str) -> dict[str, int]:
        """The objects below a prefix, by the rest of their names, and their bytes."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        found = [entry for page in pages for entry in page.get("Contents", [])]
        return {entry["Key"].removeprefix(f"{prefix}/"): entry["Size"] for entry in found}

    def close(self) -> None:
        """Ends it: nobody answers at its address."""
        self._server.shutdown()
        self._server.server_close()


class Held:
    """Holds the n-th request up that a pattern matches, so that something can be done in the middle of it."""

    def __init__(self, server: ObjectServer, matches: Callable[[str, str], bool], number: int, heeded: bool):
        """heeded: whether the request has its effect in the end, perhaps after the death of who sent it."""
        self.there, self.released = threading.Event(), threading.Event()
        self._matches, self._left, self._heeded = matches, number, heeded
        self._lock = threading.Lock()
        server.before = self._before

    def _before(self, method: str, path: str) -> bool:
        with self._lock:
            if self.there.is_set() or not self._matches(method, path):
                return True
            self._left -= 1
            if self._left > 0:
                return True
            self.there.set()
        self.released.wait(30)
        return self._heeded


@contextlib.contextmanager
def serving() -> Iterator[ObjectServer]:
    """A server that ends with the block."""
    server = ObjectServer()
    try:
        yield server
    finally:
        server.close()


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Waits for something that must come."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "nothing happened"
        time.sleep(0.01)
