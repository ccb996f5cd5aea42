"""An object store with the interface of S3 on this machine, which fails, refuses and dawdles when it is told to."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

import boto3
import commands
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug import Response
from werkzeug.serving import make_server

BUCKET = "bucket"
_ERROR = "<?xml version='1.0'?><Error><Code>{0}</Code><Message>{1}</Message></Error>"
CREDENTIALS = {
    **{"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"},
    "AWS_EC2_METADATA_DISABLED": "true",
}


class ObjectServer:
    """A server in a thread of this process, with one bucket."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.port = self._server.server_port
        self.fault: tuple[int, str, str] | None = None  # status, code and message of every answer
        self.delay_s = 0.0  # of every answer
        self.num_requests = 0
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.client.create_bucket(Bucket=BUCKET)

    def _answer(self, environ, start_response):
        self.num_requests += 1
        time.sleep(self.delay_s)
        if self.fault:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, code, message = self.fault
            return Response(_ERROR.format(code, message), status, content_type="application/xml")(
                environ, start_response
            )
        return self._moto(environ, start_response)

    @property
    def client(self):
        """A client of its own, beside those of the commands."""
        keys = {"aws_access_key_id": "someone", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=self.url, **keys)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, **changes: str) -> dict[str, str]:
        """The environment of a command that uses this server."""
        return commands.environment(**CREDENTIALS, AWS_ENDPOINT_URL=self.url, **changes)

    def names(self, prefix: str) -> dict[str, int]:
        """The objects below a prefix, by the rest of their names, and their bytes."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        found = [entry for page in pages for entry in page.get("Contents", [])]
        return {entry["Key"].removeprefix(f"{prefix}/"): entry["Size"] for entry in found}

    def read(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def serving() -> Iterator[ObjectServer]:
    """A server that ends with the block."""
    server = ObjectServer()
    try:
        yield server
    finally:
        server.close()
