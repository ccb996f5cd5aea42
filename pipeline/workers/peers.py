"""Small datagrams, one a second, by which the workers of a job know of each other.

They go over UDP to the port whose TCP side is TensorFlow's, and say who lives, where each is, and why one leaves. By
them a job meets before TensorFlow's collective runtime starts, which would wait for a missing worker without naming it.
Afterwards they show a worker that is stopped, stuck, or behind a cut link, which that runtime does not notice.
"""

import collections
import contextlib
import dataclasses
import functools
import itertools
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.engine.topology import Workers
from pipeline.errors import PeerLostError, PipelineError, PreemptedError, UsageError, kind_of
from pipeline.process.environment import JOB_SECRET, job_secret
from pipeline.process.threads import start_vital
from pipeline.text.addresses import host_and_port, resolved
from pipeline.workers import ports
from pipeline.workers.calls import Call
from pipeline.workers.newcomers import Newcomers
from pipeline.workers.words import LONGEST_MESSAGE, Word, opened, shaped_like, value_of

PULSE_S, MEETING_PULSE_S = 1.0, 0.2
REPEATS = 5  # of a datagram that may be the last: any of them may be lost
LATECOMERS_S = 10.0  # in which workers come that were started at the same time
LARGEST_DATAGRAM = 65507
PAST_LIVES = 1000  # of processes that others replaced, which are remembered so that nothing of them is taken again
_STARTED_ANEW = {"code": int(PeerLostError.code), "message": "was started anew, so the process before it is gone"}


class Peers:
    """The other workers of a job of several. Every method may be called from any thread."""

    def __init__(self, workers: Workers, status: Callable[[], dict[str, Any]], newcomers: Newcomers | None = None):
        """Begins to tell where this worker is, and to listen. Raises UsageError if its port is in use.

        newcomers: those that a job hears that may grow, among workers.candidates.
        """
        self._workers, self._status, self._newcomers = workers, status, newcomers
        self._life = newcomers.life if newcomers else uuid.uuid4().hex
        self._hello: dict[str, Any] | None = None
        self._farewell: dict[str, Any] | None = None
        self._met = False
        self._secret, self._strangers = job_secret(), False  # whether a message came that was sealed otherwise
        self._numbers = itertools.count()
        self._words: dict[int, Word] = {}
        self._past: collections.deque[str] = collections.deque(maxlen=PAST_LIVES)
        self._heard: dict[int, float] = {}  # when, on this process's monotonic clock
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._socket = bound(workers)
        start_vital(self._listen, "peers-listen")
        start_vital(self._tell, "peers-tell")

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
                hellos |= self._hellos_like(hello)
                self._met = len(hellos) == self._workers.count
        for _ in range(REPEATS):  # the others may wait for just this, and TensorFlow's start will not let us speak
            self._send()
        return [hellos[index] for index in range(self._workers.count)]

    def _hellos_like(self, own: dict[str, Any]) -> dict[int, dict[str, Any]]:
        """The hello of every worker that hears this one, by index. A hello of another shape is no worker's."""
        told = {index: word.hello for index, word in self._words.items() if word.hears == self._life}
        return {index: dict(hello) for index, hello in told.items() if hello and _same_parts(hello, own)}

    def _missing(self, present: set[int], timeout_s: float) -> PeerLostError:
        absent = [self._workers.name(index) for index in range(self._workers.count) if index not in present]
        secret = f", that {JOB_SECRET} is the same (messages with another one came)" if self._strangers else ""
        return PeerLostError(
            f"{', '.join(absent)} did not come within {timeout_s:.0f} s; see that the same command runs there{secret} "
            "and that the hosts reach each other, or give a larger --start_timeout"
        )

    def _raise_farewell(self) -> None:
        for index, word in sorted(self._words.items()):
            if word.farewell and word.hears == self._life:
                kind = kind_of(word.farewell["code"]) or PeerLostError
                message = "".join(c if c.isprintable() or c.isspace() else "?" for c in word.farewell["message"])
                raise kind(f"{self._workers.name(index)}: {message}")

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
        """The last status of every worker. One of another shape than this worker's own is left out."""
        own = self._status()
        with self._changed:
            others = {index: dict(word.status) for index, word in self._words.items()}
        alike = {index: status for index, status in others.items() if shaped_like(status, own)}
        return dict(sorted({**alike, self._workers.index: own}.items()))

    def leave(self, error: PipelineError) -> None:
        """Tells the others why this worker ends, latecomers too if no new start would help."""
        self._farewell = {"code": int(error.code), "message": str(error)[:LONGEST_MESSAGE]}
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
            try:
                self._send()
            except Exception:
                if not self._closed.is_set():  # else the process ends, and with it what a status is made of
                    raise
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
            if address and index != self._workers.index:
                hears, status = lives.get(index, ""), self._status()
                number, met, farewell = next(self._numbers), self._met, self._farewell
                word = Word(self._workers.index, self._life, number, hears, hello, met, status, farewell)
                self._send_to(address, word.datagram(self._secret))

    def _send_to(self, address: str, datagram: bytes) -> None:
        try:
            self._socket.sendto(datagram, target(address, self._socket.family))
        except OSError:  # a cut link, or a name that is not known yet: the worker that misses this one will say so
            return

    def _listen(self) -> None:
        with self._socket:
            while not self._closed.is_set():
                with contextlib.suppress(OSError):  # nothing for a while, or the answer of a port where nobody listens
                    self._take(*self._socket.recvfrom(LARGEST_DATAGRAM))

    def _take(self, datagram: bytes, sender: tuple[Any, ...]) -> None:
        """Notes a word of another worker of this job; any other datagram changes nothing."""
        payload = opened(datagram, self._secret)
        if payload is None:
            self._strangers = True
            return
        value = value_of(payload)
        word = Word.read(value)
        if self._newcomers and (call := Call.read(value)):
            self._take_call(call, sender, self._newcomers)
        elif word and word.worker in set(range(self._workers.count)) - {self._workers.index}:
            with self._changed:
                self._note(word)
                self._changed.notify_all()

    def _take_call(self, call: Call, sender: tuple[Any, ...], newcomers: Newcomers) -> None:
        """Answers a candidate; if it is a worker of this job that was started anew, notes the end of the one before."""
        member = newcomers.member(call)
        if call.candidate >= len(self._workers.candidates) or member == self._workers.index:
            return
        if member is not None and newcomers.is_started_anew(call):
            with self._changed:
                before = self._words.get(member, Word(member, "", 0, self._life, None, False, {}, None))
                told = before.farewell or _STARTED_ANEW
                self._words[member] = dataclasses.replace(before, hears=self._life, farewell=told)
                self._changed.notify_all()
        if answer := newcomers.answer(call):
            with contextlib.suppress(OSError):  # where it called from, since its address need not be known here
                self._socket.sendto(answer.datagram(self._secret), sender)

    def _note(self, word: Word) -> None:
        before = self._words.get(word.worker)
        if self._met and word.hears != self._life:
            return  # it means the process before this one: a cut link may have kept an earlier life from its end
        if word.life in self._past or (before and before.life == word.life and word.number <= before.number):
            return  # it was overtaken, or someone says once more what was said before
        if before and before.life != word.life:
            if self._met:
                word = dataclasses.replace(before, farewell=before.farewell or _STARTED_ANEW)
            else:
                self._past.append(before.life)
        self._words[word.worker] = word
        self._heard[word.worker] = time.monotonic()


def _same_parts(hello: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Whether a hello has the keys of one's own, with values of the same types, of which those in both agree in theirs.

    Workers of other versions may have other flags; the reader of the hellos tells them so.
    """
    if not shaped_like(hello, own):
        return False
    inner = [(hello[key], own[key]) for key in own if isinstance(own[key], dict)]
    return all(type(theirs[key]) is type(mine[key]) for theirs, mine in inner for key in theirs.keys() & mine.keys())


def bound(workers: Workers) -> socket.socket:
    """A worker's datagram socket; its TCP port, which TensorFlow will take, is free too. Raises UsageError."""
    host, port = host_and_port(workers.addresses[workers.index])
    error = ports.refusal(port, "TCP")
    for endpoint in [] if error else ports.own_endpoints(workers):
        datagrams = socket.socket(endpoint.family, socket.SOCK_DGRAM)
        try:
            datagrams.bind((endpoint.host, port))
            datagrams.settimeout(PULSE_S)
            return datagrams
        except OSError as refused:
            datagrams.close()
            error = refused
    raise UsageError(
        f"port {port} of {host} cannot be used ({error.strerror if error else 'no address'}); end what uses it, or "
        "give this worker another port in --worker_addresses"
    )


@functools.cache
def target(address: str, family: int) -> tuple[str, int]:
    """IP and port of HOST:PORT; asked once, as a name server that hangs would silence this worker later.

    Raises OSError if it does not resolve, or to no address of this family.
    """
    for endpoint in resolved(address):
        if endpoint.family == family:
            return endpoint.host, endpoint.port
    raise OSError(f"{address} has no address of the same kind as this worker's own")
