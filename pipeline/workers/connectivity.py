"""Workers answer each other over the addresses that they will train over, by TCP and by UDP.

Every worker listens on its port and asks every other one, of many its contacts (see fingers.py), and all tell the chief
what they found. A question and its answer are a line of JSON each, sealed with the job's secret if there is one.
"""

import concurrent.futures
import contextlib
import functools
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.engine.topology import Workers
from pipeline.process.environment import job_secret
from pipeline.text.addresses import Endpoint, host_and_port
from pipeline.workers import fingers, ports
from pipeline.workers.readiness import OK
from pipeline.workers.words import opened, sealed, value_of

TRY_S = 3.0  # for one attempt to connect, and to get an answer
UDP_TRIES = 5
LONGEST_LINE = 1 << 20
_PING = b"pipeline preflight"

Answer = dict[str, Any]
Address = tuple[str, int]


class RollCall:
    """One worker's part: it answers the others while it asks them."""

    def __init__(self, workers: Workers, own: Answer, timeout_s: float):
        """own: this worker's answer to whoever asks. timeout_s: how long to wait for workers that are not there."""
        self._addresses = [host_and_port(address) for address in workers.addresses]
        self._workers, self._index, self._own = workers, workers.index, own
        self._deadline = time.monotonic() + timeout_s
        self._reports: dict[int, Any] = {}  # what the chief was told, by worker
        self._all_reported = threading.Event()
        self._verdict: concurrent.futures.Future[int] = concurrent.futures.Future()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Answers on this worker's port inside. Raises OSError if the port is taken."""
        with contextlib.ExitStack() as stack:
            for make in (functools.partial(_TcpServer, answer=self._answer), _UdpServer):
                server = self._made(make)
                stack.callback(server.server_close)
                threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
                stack.callback(server.shutdown)
            yield

    def _made(self, make: Callable[[Endpoint], socketserver.BaseServer]) -> socketserver.BaseServer:
        """A server at this worker's own address, or at all addresses where it cannot be had. Raises OSError."""
        *first, last = ports.own_endpoints(self._workers)
        port = self._addresses[self._index][1]
        for endpoint in first:
            with contextlib.suppress(OSError):
                return make(endpoint._replace(port=port))
        return make(last._replace(port=port))

    def ask(self) -> dict[int, tuple[str, Answer]]:
        """The way (OK, or a key of readiness.WAYS) to every worker that this one asks, and its answer, by index."""
        others = fingers.contacts(self._index, len(self._addresses))
        with concurrent.futures.ThreadPoolExecutor(len(others)) as pool:
            return dict(zip(others, pool.map(self._ask, others), strict=True))

    def verdict_on(self, report: Answer) -> int | None:
        """Reports to the chief; returns the exit code that it sends to all, None if it is silent."""
        patience = max(self._deadline - time.monotonic(), 0) + 4 * TRY_S
        _, answer = _question(self._addresses[0], {"index": self._index, "report": report}, patience)
        verdict = answer.get("verdict")
        return verdict if type(verdict) is int else None

    def reports(self) -> dict[int, Any]:
        """The others' reports to the chief, by index, once all came or the time is over; as they came."""
        self._all_reported.wait(max(self._deadline - time.monotonic(), 0) + 2 * TRY_S)
        return dict(self._reports)

    def conclude(self, code: int) -> None:
        """Sends the verdict to all who reported."""
        self._verdict.set_result(code)

    def _answer(self, question: Answer) -> Answer:
        """The answer to a worker's question; {} for an asker that is no worker of this job."""
        if "report" not in question:
            return {**self._own, "time": time.time()}
        index = question.get("index")
        if type(index) is not int or index not in range(1, len(self._addresses)):
            return {}
        self._reports[index] = question["report"]
        if len(self._reports) == len(self._addresses) - 1:
            self._all_reported.set()
        return {"verdict": self._verdict.result()}

    def _ask(self, index: int) -> tuple[str, Answer]:
        """The way to one worker, tried again until the time is over, and its answer with its clock's lead."""
        while True:
            asked = time.time()
            way, answer = _question(self._addresses[index], {}, TRY_S)
            answered = time.time()
            if way not in ("refused", "unreachable") or time.monotonic() > self._deadline:
                break
            time.sleep(0.2)
        if way == OK:
            time_there = answer.get("time")
            if not isinstance(time_there, float):
                return "strange", {}
            answer["ahead"] = time_there - (asked + answered) / 2
            way = OK if _echoes(self._addresses[index]) else "no UDP"
        return way, answer


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True  # past connections do not count
    request_queue_size = 1024  # all workers call the chief at once
    daemon_threads = True

    def __init__(self, own: Endpoint, answer: Callable[[Answer], Answer]):
        self.address_family, self.answer = own.family, answer
        super().__init__((own.host, own.port), _Answering)


class _Answering(socketserver.StreamRequestHandler):
    timeout = TRY_S
    server: _TcpServer

    def handle(self) -> None:
        """Answers one question. A line of another kind is no worker's, and gets no answer."""
        with contextlib.suppress(OSError):
            question = _read(self.rfile.readline(LONGEST_LINE))
            if question is not None:
                self.wfile.write(_line(self.server.answer(question)))


def _line(value: Answer) -> bytes:
    return sealed(json.dumps(value).encode(), job_secret()) + b"\n"


def _read(line: bytes) -> Answer | None:
    """The dictionary in a line; None if no worker of this job wrote it."""
    payload = opened(line.removesuffix(b"\n"), job_secret())
    value = None if payload is None else value_of(payload)
    return value if isinstance(value, dict) else None


class _UdpServer(socketserver.UDPServer):
    def __init__(self, own: Endpoint):
        self.address_family = own.family
        super().__init__((own.host, own.port), _Echoing)


class _Echoing(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        """Sends a worker's question back."""
        if self.rfile.read() == _PING:
            self.wfile.write(_PING)


def _question(address: Address, question: Answer, patience_s: float) -> tuple[str, Answer]:
    """Asks once: the way, and the answer ({} unless the way is OK)."""
    try:
        connection = socket.create_connection(address, TRY_S)
    except socket.gaierror:
        return "unknown", {}
    except OSError as error:
        return "refused" if isinstance(error, ConnectionRefusedError) else "unreachable", {}
    with connection, contextlib.suppress(OSError):
        connection.settimeout(patience_s)
        connection.sendall(_line(question))
        answer = _read(connection.makefile("rb").readline(LONGEST_LINE))
        if answer is not None:
            return OK, answer
    return "strange", {}


def _echoes(address: Address) -> bool:
    """Whether a datagram comes back."""
    family, kind, *_, target = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as trial:
        trial.settimeout(TRY_S / UDP_TRIES)
        for _ in range(UDP_TRIES):
            with contextlib.suppress(OSError):
                trial.sendto(_PING, target)
                if trial.recv(100) == _PING:
                    return True
    return False
