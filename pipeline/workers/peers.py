"""Small datagrams, one a second, by which the workers of a job know of each other; of many, by their neighbours.

They go over UDP to the port whose TCP side is TensorFlow's, and say who lives, where each is, and why one leaves. By
them a job meets before TensorFlow's collective runtime starts, which would wait for a missing worker without naming it.
Afterwards they show a worker that is stopped, stuck, or behind a cut link, which that runtime does not notice.
"""

import contextlib
import dataclasses
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pipeline.engine.topology import Workers
from pipeline.errors import PeerLostError, PipelineError, PreemptedError, kind_of
from pipeline.process.environment import JOB_SECRET, job_secret
from pipeline.process.threads import start_vital
from pipeline.workers import fingers
from pipeline.workers.calls import Call
from pipeline.workers.datagrams import LARGEST_DATAGRAM, Sender, bound, send
from pipeline.workers.fingers import PULSE_S
from pipeline.workers.heard import Heard
from pipeline.workers.hearsay import Hearsay
from pipeline.workers.hellos import Hellos, same_parts
from pipeline.workers.newcomers import Newcomers
from pipeline.workers.news import News
from pipeline.workers.words import LONGEST_MESSAGE, Word, opened, shaped_like, value_of

MEETING_PULSE_S = 0.2
REPEATS = 5  # of a datagram that may be the last: any of them may be lost
LATECOMERS_S = 10.0  # in which workers come that were started at the same time


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
        self._neighbours = fingers.neighbours(workers.index, workers.count)
        knows_all = len(self._neighbours) == workers.count - 1
        self._hearsay = None if knows_all else Hearsay(workers.index, workers.count, self._life)
        self._heard = Heard(self._life)
        self._words = self._heard.words
        self._hellos = Hellos()
        self._changed = threading.Condition()
        self._closed, self._hurry = threading.Event(), threading.Event()  # hurry: there is something to tell at once
        self._socket = bound(workers)
        start_vital(self._listen, "peers-listen")
        start_vital(self._tell, "peers-tell")

    def close(self) -> None:
        """Falls silent; other workers are then without a word from this one."""
        self._closed.set()
        self._hurry.set()

    def meet(
        self,
        hello: dict[str, Any],
        timeout_s: float,
        stop: Callable[[], bool] = lambda: False,
        check: Callable[[int, dict[str, Any]], None] = lambda index, hello: None,
    ) -> list[dict[str, Any] | None]:
        """Every worker's hello, in the order of their indices, once all have heard each other.

        Of many workers, None stands for those of which this one hears by others; but the chief's is always there.
        check: looks at each hello that is there. Where others rely on it, it is called before this worker has met all.
        Raises PeerLostError naming who is missing after `timeout_s`, the error with which another one leaves, or
        PreemptedError if `stop` says so while one is missing: none of them goes on without this one. Raises what
        `check` raises.
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
                if not self._met:
                    hellos |= self._hellos_like(hello)
                    self._met = self._hears_all(hellos, check)
        for _ in range(REPEATS):  # the others may wait for just this, and TensorFlow's start will not let us speak
            self._send()
        if self._hearsay is None:
            self._check(hellos, check)
        return [hellos.get(index) for index in range(self._workers.count)]

    def _hellos_like(self, own: dict[str, Any]) -> dict[int, dict[str, Any]]:
        """The hello of every worker that hears this one, by index. A hello of another shape is no worker's."""
        near = [self._words[index] for index in self._neighbours if index in self._words]
        found = self._hellos.like(own, (word for word in near if word.hears == self._life))
        if self._hearsay and (chief := self._hearsay.chief) and same_parts(chief["hello"], own):
            found[0] = dict(chief["hello"])
        return found

    def _hears_all(self, hellos: dict[int, dict[str, Any]], check: Callable[[int, dict[str, Any]], None]) -> bool:
        """Whether this worker hears all others, or its neighbours and of all others. Raises what `check` does."""
        if (hearsay := self._hearsay) is None:
            return len(hellos) == self._workers.count
        if not (hearsay.is_complete and hellos.keys() >= {0, *self._neighbours}):
            return False
        self._check(hellos, check)
        hearsay.settle()
        return True

    def _check(self, hellos: dict[int, dict[str, Any]], check: Callable[[int, dict[str, Any]], None]) -> None:
        for index in sorted(hellos):
            check(index, hellos[index])

    def _missing(self, present: set[int], timeout_s: float) -> PeerLostError:
        deaf = {index for index, word in self._words.items() if not word.met}
        missing = {*self._neighbours} - present or (self._hearsay.missing() if self._hearsay else deaf)
        absent = [self._workers.name(index) for index in sorted(missing)]
        secret = f", that {JOB_SECRET} is the same (messages with another one came)" if self._strangers else ""
        return PeerLostError(
            f"{', '.join(absent)} did not come within {timeout_s:.0f} s; see that the same command runs there{secret} "
            "and that the hosts reach each other, or give a larger --start_timeout"
        )

    def _raise_farewell(self) -> None:
        for index, farewell in self._farewells():
            kind = kind_of(farewell["code"]) or PeerLostError
            message = "".join(c if c.isprintable() or c.isspace() else "?" for c in farewell["message"])
            raise kind(f"{self._workers.name(index)}: {message}")

    def _farewells(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The workers that leave, with their farewells; of many workers, the one of which others left."""
        if self._hearsay is None:
            told = {index: word.farewell for index, word in self._words.items() if word.hears == self._life}
            yield from ((index, farewell) for index, farewell in sorted(told.items()) if farewell)
        elif farewell := self._hearsay.farewell:
            yield farewell["worker"], farewell

    def farewell(self) -> PipelineError | None:
        """The error with which another worker leaves, if one does."""
        with self._changed:
            try:
                self._raise_farewell()
            except PipelineError as error:
                return error
        return None

    @property
    def delay_s(self) -> float:
        """Seconds for which what this worker hears of others may be behind, more than a pulse; 0 where it hears all."""
        return fingers.delay_s(self._workers.count) if self._hearsay else 0.0

    def silent(self) -> dict[int, float]:
        """For every worker that was heard, the seconds since it last was; `delay_s` less, if it is by others' words."""
        with self._changed:
            if self._hearsay is None:
                return self._heard.silent()
            allowed = dict.fromkeys(self._neighbours, 0.0)
            heard = self._hearsay.silent()
            return {index: max(0.0, s - allowed.get(index, self.delay_s)) for index, s in heard.items()}

    def statuses(self) -> dict[int, dict[str, Any]]:
        """The last status of every worker heard. One of another shape than this worker's own is left out."""
        return self._statuses(range(self._workers.count))

    def fresh_statuses(self) -> dict[int, dict[str, Any]]:
        """The same of this worker, its neighbours, and whoever is furthest behind, which may be late by `delay_s`."""
        return self._statuses(self._neighbours)

    def _statuses(self, workers: Iterable[int]) -> dict[int, dict[str, Any]]:
        own = self._status()
        with self._changed:
            behind = self._hearsay.behind if self._hearsay else None
            told = {behind["worker"]: behind["status"]} if behind else {}
            told |= {index: self._words[index].status for index in workers if index in self._words}
        alike = {index: dict(status) for index, status in told.items() if shaped_like(status, own)}
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
            return all(index in self._words and self._words[index].farewell for index in self._neighbours)

    def _tell(self) -> None:
        while not self._closed.is_set():
            try:
                self._send()
            except Exception:
                if not self._closed.is_set():  # else the process ends, and with it what a status is made of
                    raise
            self._hurry.wait(PULSE_S if self._all_met() else MEETING_PULSE_S)
            self._hurry.clear()

    def _all_met(self) -> bool:
        with self._changed:
            return self._met and self._all_say_so()

    def _all_say_so(self) -> bool:
        if self._hearsay:
            return self._hearsay.all_met
        return all(word.met and word.hears == self._life for word in self._words.values())

    def _send(self) -> None:
        status = self._status()
        with self._changed:
            number, lives = next(self._numbers), {index: word.life for index, word in self._words.items()}
            hello, news = None if self._all_met() else self._hello, self._news(number, status)
            word = Word(self._workers.index, self._life, number, "", hello, self._met, status, self._farewell, news)
            if self._hearsay and self._hearsay.chief and self._met:
                lives[0] = self._hearsay.chief["life"]
        also = fingers.tells_chief(self._workers.index, self._workers.count, number) and 0 in lives
        for index in (*self._neighbours, *([0] if also else ())):
            said = dataclasses.replace(word, hears=lives.get(index, ""))
            send(self._socket, self._workers.addresses[index], said.datagram(self._secret))

    def _news(self, number: int, status: dict[str, Any]) -> dict[str, Any] | None:
        """What this worker passes on of all, if there are many."""
        if self._hearsay is None:
            return None
        if self._workers.is_chief and self._hello is not None:
            self._hearsay.chief = {"life": self._life, "hello": self._hello}
        return self._hearsay.news(number, status).value(self._workers.count)

    def _listen(self) -> None:
        with self._socket:
            while not self._closed.is_set():
                with contextlib.suppress(OSError):  # nothing for a while, or the answer of a port where nobody listens
                    self._take(*self._socket.recvfrom(LARGEST_DATAGRAM))

    def _take(self, datagram: bytes, sender: Sender) -> None:
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
            self._take_word(word)

    def _take_call(self, call: Call, sender: Sender, newcomers: Newcomers) -> None:
        """Answers a candidate; if it is a worker of this job that was started anew, notes the end of the one before."""
        member = newcomers.member(call)
        if call.candidate >= len(self._workers.candidates) or member == self._workers.index:
            return
        if member is not None and newcomers.is_started_anew(call):
            with self._changed:
                told = self._heard.end(member)
                if self._hearsay:
                    self._hearsay.note_farewell(member, told)
                self._changed.notify_all()
        if answer := newcomers.answer(call):
            send(self._socket, sender, answer.datagram(self._secret))  # its address need not be known here

    def _take_word(self, word: Word) -> None:
        """Notes a word; of many workers, the first farewell is passed on at once."""
        with self._changed:
            if self._heard.note(word, self._met) and (hearsay := self._hearsay):
                knew = hearsay.farewell
                self._note_hearsay(word, hearsay)
                if hearsay.farewell and not knew:
                    self._hurry.set()
            self._changed.notify_all()

    def _note_hearsay(self, word: Word, hearsay: Hearsay) -> None:
        hearsay.hear(word.worker, word.life, word.number, word.status)
        if word.hears != self._life:
            return
        if news := News.read(word.news, self._workers.count):
            hearsay.take(news)
        if farewell := self._words[word.worker].farewell:
            hearsay.note_farewell(word.worker, farewell)
