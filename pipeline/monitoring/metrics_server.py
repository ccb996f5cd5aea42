"""A small web server beside the training, which answers GET /metrics."""

import contextlib
import http.server
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

from pipeline.monitoring.exposition import CONTENT_TYPE

PATH = "/metrics"
CLIENT_S = 10.0  # that a client may take for its request
LOOK_S = 0.2


@contextlib.contextmanager
def serving(host: str, port: int, page: Callable[[], str]) -> Iterator[int]:
    """Serves a page inside; yields the port. port: 0 for any that is free.

    page: called for every request, in a thread of its own. Raises OSError where it cannot listen.
    """
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with _Server(family, address, page) as server:
        threading.Thread(target=server.serve_forever, args=(LOOK_S,), name="metrics", daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


class _Server(socketserver.ThreadingTCPServer):
    """One thread for each request. http.server's own server would look its name up in the network first."""

    daemon_threads = True
    allow_reuse_address = True  # connections of an earlier process do not count

    def __init__(self, family: socket.AddressFamily, address: tuple, page: Callable[[], str]):
        self.address_family, self.page = family, page
        super().__init__(address[:2], _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Leaves a client that went away."""


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = CLIENT_S
    server: _Server

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self.send_error(404, f"the figures are at {PATH}")
            return
        try:
            content = self.server.page().encode()
        except Exception as error:  # whatever it is, it must not cost the run
            self.send_error(500, f"{type(error).__name__}: {error}"[:200])
            return
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Logs nothing: stderr is for the run."""
