"""What the workers of a job know of each other besides gradients: small datagrams, one a second.

They go over UDP to the port whose TCP side is TensorFlow's, and say who lives, where each is, and why one leaves. By
them a job meets before the collective runtime starts, which would wait for a missing worker without naming it, and
notices afterwards what that runtime does not: a worker that is stopped, stuck, or behind a cut link.
"""

import contextlib
import dataclasses
import functools
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from pipeline.engine.topology import Workers
from pipeline.errors import PeerLostError, PipelineError, PreemptedError, UsageError, kind_of

PULSE_S, MEETING_PULSE_S = 1.0, 0.2
REPEATS = 5  # of a datagram that may be the last: any of them may be lost
LATECOMERS_S = 10.0  # in which workers come that were started at the same time
LARGEST_DATAGRAM = 65507


@dataclasses.dataclass(frozen=True)
class Word:
    """What a worker says in one datagram; all of types that JSON has."""

    worker: int
    life: str  # of its process, drawn at its start
    hears: str  # the life of the process it says this to, if it has heard it
    hello: dict[str, Any] | None  # what it tells of itself, until all have met
    met: bool
    status: dict[str, Any]  # where it is
    farewell: dict[str, Any] | None  # the code and the message with which it leaves


class Peers:
    """The other workers of a job of several. Every method may be called from any thread."""

    def __init__(self, workers: Workers, status: Callable[[], dict[str, Any]]):
        """Begins to tell where this worker is, and to listen. Raises UsageError if its port is in use."""
        self._workers, self._status = workers, status
        self._life = uuid.uuid4().hex
        self._hello: dict[str, Any] | None = None
        self._farewell: dict[str, Any] | None = None
        self._met = False
        self._words: dict[int, Word] = {}
        self._heard: dict[int, float] = {}  # when, on this process's monotonic clock
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._socket = _bound(workers.addresses[workers.index])
        threading.Thread(target=self._listen, name="peers-listen", daemon=True).start()
        threading.Thread(target=self._tell, name="peers-tell", daemon=True).start()

    def close(self) -> None:
        """Falls silent; other workers are then without a word from this one."""
        self._closed.set()

    def meet(
        self, hello: dict[str, Any], timeout_s: float, stop: Callable[[], bool] = lambda: False
    ) -> list[dict[str, Any]]:
        """Every worker's hello, in the order of their indices, once all have heard each other.

        Raises PeerLostError naming who is missing after `timeout_s`, the error with which another one leaves, or
        PreemptedError if `stop` says so while one is missing: none of them goes on without this one.
        """
        give_up = time.monotonic() + timeout_s
        hellos: dict[int, dict[str, Any]] = {self._workers.index: hello}
        with self._changed:
            self._hello = hello
            while not (self._met and self._all_say_so()):
                if not self._met and stop():
                    raise PreemptedError("stopped while not all workers had come: nothing was to save")
                if time.monotonic() > give_up:
                    raise self._missing(set(hellos), timeout_s)
                self._changed.wait(MEETING_PULSE_S)
                self._raise_farewell()
                hellos |= {i: w.hello for i, w in self._words.items() if w.hello and w.hears == self._life}
                self._met = len(hellos) == self._workers.count
        for _ in range(REPEATS):  # the others may wait for just this, and TensorFlow's start will not let us speak
            self._send()
        return [hellos[index] for index in range(self._workers.count)]

    def _missing(self, present: set[int], timeout_s: float) -> PeerLostError:
        absent = [self._workers.name(index) for index in range(self._workers.count) if index not in present]
        return PeerLostError(
            f"{', '.join(absent)} did not come within {timeout_s:.0f} s; see that the same command runs there and that "
            "the hosts reach each other, or give a larger --start_timeout"
        )

    def _raise_farewell(self) -> None:
        for index, word in sorted(self._words.items()):
            if word.farewell and word.hears == self._life:
                kind = kind_of(word.farewell["code"]) or PeerLostError
                raise kind(f"{self._workers.name(index)}: {word.farewell['message']}")

    def farewell(self) -> PipelineError | None:
        """The error with which another worker leaves, if one does."""
        with self._changed:
            try:
                self._raise_farewell()
            except PipelineError as error:
                return error
        return None

    def silent(self) -> dict[int, float]:
        """For every worker that was heard, the seconds since it last was."""
        now = time.monotonic()
        with self._changed:
            return {index: now - heard for index, heard in sorted(self._heard.items())}

    def statuses(self) -> dict[int, dict[str, Any]]:
        """Where every worker is, as last heard."""
        with self._changed:
            others = {index: word.status for index, word in self._words.items()}
        return dict(sorted({**others, self._workers.index: self._status()}.items()))

    def leave(self, error: PipelineError) -> None:
        """Tells the others why this worker ends; those who have not come yet too, if a new start would not help."""
        self._farewell = {"code": int(error.code), "message": str(error)}
        may_go_on = isinstance(error, PreemptedError | PeerLostError)
        give_up = time.monotonic() + (REPEATS * MEETING_PULSE_S if self._met or may_go_on else LATECOMERS_S)
        while not self._all_leave() and time.monotonic() < give_up:
            self._send()
            time.sleep(MEETING_PULSE_S)
        self._send()

    def _all_leave(self) -> bool:
        with self._changed:
            leaving = [word for word in self._words.values() if word.farewell]
            return len(leaving) == self._workers.count - 1

    def _tell(self) -> None:
        while not self._closed.is_set():
            self._send()
            self._closed.wait(PULSE_S if self._all_met() else MEETING_PULSE_S)

    def _all_met(self) -> bool:
        with self._changed:
            return self._met and self._all_say_so()

    def _all_say_so(self) -> bool:
        return all(word.met and word.hears == self._life for word in self._words.values())

    def _send(self) -> None:
        with self._changed:
            lives = {index: word.life for index, word in self._words.items()}
        hello = None if self._all_met() else self._hello
        for index, address in enumerate(self._workers.addresses):
            if index != self._workers.index:
                said = Word(
                    self._workers.index,
                    self._life,
                    lives.get(index, ""),
                    hello,
                    self._met,
                    self._status(),
                    self._farewell,
                )
                self._send_to(address, json.dumps(dataclasses.asdict(said)).encode())

    def _send_to(self, address: str, datagram: bytes) -> None:
        try:
            self._socket.sendto(datagram, _resolved(address))
        except OSError:  # a cut link or a name that is not known yet: whoever does not hear us will say so
            return

    def _listen(self) -> None:
        with self._socket:
            while not self._closed.is_set():
                with contextlib.suppress(OSError):  # nothing for a while, or the answer of a port where nobody listens
                    self._take(self._socket.recv(LARGEST_DATAGRAM))

    def _take(self, datagram: bytes) -> None:
        """Notes what another worker of this job says to this process; anything else is left."""
        try:
            word = Word(**json.loads(datagram))
        except (ValueError, TypeError):
            return
        others = set(range(self._workers.count)) - {self._workers.index}
        if type(word.worker) is int and word.worker in others:
            with self._changed:
                self._note(word)
                self._changed.notify_all()

    def _note(self, word: Word) -> None:
        before = self._words.get(word.worker)
        if self._met and word.hears != self._life:
            return  # it means the process before this one: a cut link may have kept an earlier life from its end
        if self._met and before and before.life != word.life:
            gone = {"code": int(PeerLostError.code), "message": "was started anew, so the process before it is gone"}
            word = dataclasses.replace(before, farewell=before.farewell or gone)
        self._words[word.worker] = word
        self._heard[word.worker] = time.monotonic()


def _bound(address: str) -> socket.socket:
    """The datagram socket of an address of this host; its TCP port, which TensorFlow will take, is free too."""
    host, _, port = address.rpartition(":")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind(("", int(port)))
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.settimeout(PULSE_S)
        datagrams.bind(("", int(port)))
    except OSError as error:
        raise UsageError(
            f"port {port} of {host} cannot be used ({error.strerror}); end what uses it, or give this worker another "
            "port in --worker_addresses"
        ) from None
    return datagrams


@functools.cache
def _resolved(address: str) -> tuple[str, int]:
    """IP and port of HOST:PORT; asked once, as a name server that hangs would silence this worker later."""
    host, _, port = address.rpartition(":")
    return socket.gethostbyname(host), int(port)
