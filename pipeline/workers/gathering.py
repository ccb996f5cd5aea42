"""How the candidates of a job that shrinks and grows find out which of them are its workers.

Each calls others (see circle.py), over UDP on the workers' port. The lowest proposes a membership, its members accept
it, and with the last of these words it is final. See docs/design/workers.md. What is final is told to a member that
missed it by those that have begun to work: `newcomers.py`.
"""

import contextlib
import dataclasses
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

from pipeline.engine.topology import Workers
from pipeline.errors import PeerLostError, UsageError, kind_of
from pipeline.process.environment import job_secret
from pipeline.workers import circle, datagrams
from pipeline.workers.agreement import Terms
from pipeline.workers.calls import FRESH_S, MOST_CANDIDATES, Answer, Call, Membership, mark
from pipeline.workers.datagrams import Sender
from pipeline.workers.proposals import Rules, alike, proposal
from pipeline.workers.surroundings import Surroundings
from pipeline.workers.waiting import Wait
from pipeline.workers.words import Word, opened, value_of

CALL_S, CALL_OF_MANY_S = 0.2, 1.0  # between calls
TURN_S, TURN_OF_MANY_S = 0.05, 0.25
MOST_WAITING = 64  # datagrams that are taken between two that are sent
MOST_STRANGERS = 64  # processes of a running job that this one hears, and calls
LOOK_S = 1.0  # between looks at the run directory, and pulses
REPEATS = 5  # of a call that may be the last


class Gathering:
    """One candidate, until it is known whether and of what job it is a worker."""

    def __init__(
        self,
        candidates: Workers,
        terms: Terms,
        rules: Rules,
        start_timeout_s: float,
        run: Surroundings,
        say: Callable[[str], None],
    ):
        """Begins to listen. Raises UsageError if its port is in use, or if there are too many."""
        if candidates.count > MOST_CANDIDATES:
            raise UsageError(
                f"there are {candidates.count} candidates, and with --min_workers at most {MOST_CANDIDATES} fit into a "
                "datagram; start fewer, or leave --min_workers out"
            )
        self._are_many = candidates.count > circle.FEW
        self._call_s, self._turn_s = (CALL_OF_MANY_S, TURN_OF_MANY_S) if self._are_many else (CALL_S, TURN_S)
        self._candidates, self._rules, self._run, self._say = candidates, rules, run, say
        self._start_timeout_s, self._secret = start_timeout_s, job_secret()
        self._own = Call(candidates.index, uuid.uuid4().hex, 0, frozenset(), terms, "", 0, None, False)
        self._others: dict[int, Call] = {}
        self._senders: dict[int, Sender] = {}  # where each was when it last called
        self._heard: dict[str, float] = {}  # when each life was, on this process's clock
        self._strangers: dict[str, Sender] = {}  # of many, the lives of a running job, and where each is
        self._since = time.monotonic()  # when the wait for others began
        self._running_at = -FRESH_S  # when a running job last answered
        self._expected: set[int] = set()
        self._has_record, self._obstacle = False, "not looked at yet"
        self._said: set[str] = set()
        self._next_call = self._next_look = 0.0
        self._socket = datagrams.bound(candidates)
        self._socket.settimeout(TURN_S)

    @property
    def life(self) -> str:
        """The name of this process, by which others know it from one before."""
        return self._own.life

    @property
    def candidates(self) -> Workers:
        """All candidates, with the addresses that are known by now."""
        return self._candidates

    def settled(self) -> Membership | None:
        """The job that this process is a member of; None if the run is finished.

        Waits for as long as another job runs. Raises PeerLostError if none comes about within the start's time,
        UsageError for terms that others do not have, PreemptedError if a stop was asked for, StorageError if another
        run owns the directory all the time, and the error with which a running job ends.
        """
        with self._socket:
            while True:
                self._listen()
                self._forget_silent()
                if self._time_for("_next_look", LOOK_S) and self._finished():
                    return None
                self._decide()
                if self._own.final:
                    self._repeat(TURN_S)
                    self._look_up()
                    datagrams.target.cache_clear()  # a name may have come to mean another address while this one waited
                    return self._own.membership
                if self._time_for("_next_call", self._call_s * (random.uniform(0.7, 1) if self._are_many else 1)):
                    self._call()
                self._check_patience()

    def _time_for(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < getattr(self, what):
            return False
        setattr(self, what, now + every_s)
        return True

    @property
    def _is_spare(self) -> bool:
        """Whether another job runs, which this process waits for."""
        return time.monotonic() - self._running_at < FRESH_S

    @property
    def _waited(self) -> float:
        return time.monotonic() - self._since

    def _finished(self) -> bool:
        self._run.look()
        self._look_up()
        self._own = dataclasses.replace(self._own, owner=self._run.owner())
        if self._is_spare:
            return False
        is_finished = self._run.is_finished()
        self._expected, self._has_record = self._run.expected(), self._run.has_record()
        self._rules = dataclasses.replace(self._rules, rejoin_s=self._run.patience())
        self._obstacle = self._run.obstacle()
        return is_finished

    def _look_up(self) -> None:
        addresses = self._run.addresses(self._candidates.addresses)
        self._candidates = dataclasses.replace(self._candidates, addresses=addresses)

    # --- listening ---

    def _listen(self) -> None:
        """Takes what came, for a turn."""
        end = time.monotonic() + self._turn_s
        while time.monotonic() < end:
            with contextlib.suppress(OSError):  # nothing came, or the answer of a port where nobody listens
                self._take_next()

    def _take_next(self) -> None:
        datagram, sender = self._socket.recvfrom(datagrams.LARGEST_DATAGRAM)
        if (payload := opened(datagram, self._secret)) is not None:
            self._take(value_of(payload), sender)

    def _take_waiting(self) -> None:
        """Takes what has come: a socket holds some fifty calls, and loses more."""
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):
            for _ in range(MOST_WAITING):
                self._take_next()
        self._socket.settimeout(TURN_S)

    def _take(self, value: Any, sender: Sender) -> None:
        if call := Call.read(value):
            self._note(call, sender)
        elif answer := Answer.read(value):
            self._follow(answer, sender)
        elif word := Word.read(value):  # of a running job, which is to know that it is heard
            self._hear(word.life, sender)

    def _hear(self, life: str, sender: Sender) -> None:
        """Notes a process of a running job."""
        self._heard[life] = time.monotonic()
        if self._are_many and (life in self._strangers or len(self._strangers) < MOST_STRANGERS):
            self._strangers[life] = sender

    def _note(self, call: Call, sender: Sender) -> None:
        if call.candidate == self._own.candidate or call.candidate >= self._candidates.count:
            return
        before = self._others.get(call.candidate)
        if before and before.life == call.life and before.number >= call.number:
            return  # it was overtaken
        if not self._candidates.addresses[call.candidate]:
            self._look_up()
        if not self._candidates.addresses[call.candidate]:
            return  # the others could not reach it
        self._others[call.candidate], self._senders[call.candidate] = call, sender
        if call.membership and not self._accepts(call):  # they may be about to train: for a start they cannot answer
            self._since = time.monotonic()
        self._heard[call.life] = time.monotonic()

    def _follow(self, answer: Answer, sender: Sender) -> None:
        """Does as a running job says. Raises the error with which it sends this process away."""
        if answer.to != self.life:
            return
        self._hear(answer.life, sender)
        if answer.code:
            raise (kind_of(answer.code) or PeerLostError)(answer.reason)
        if answer.membership and answer.membership.has(self._own.candidate, self.life):
            self._accept(answer.membership, final=True)
        elif answer.running:
            self._since = self._running_at = time.monotonic()
            self._accept(None)
            self._say_once(
                f"a job of {answer.running} worker(s) runs; this one waits, and is taken in at a checkpoint as soon as "
                "that makes the job larger"
            )

    def _forget_silent(self) -> None:
        oldest = time.monotonic() - FRESH_S
        self._heard = {life: when for life, when in self._heard.items() if when > oldest}
        self._others = {index: call for index, call in self._others.items() if call.life in self._heard}
        self._senders = {index: sender for index, sender in self._senders.items() if index in self._others}
        self._strangers = {life: sender for life, sender in self._strangers.items() if life in self._heard}

    # --- deciding ---

    def _decide(self) -> None:
        """Adopts what is final; else accepts what the lowest candidate proposes, or proposes as that one."""
        own = self._own
        if own.final or self._is_spare:
            return
        self._own = own = dataclasses.replace(own, waited=int(self._waited), hears=self._hears())
        offers = [call for _, call in sorted(self._others.items()) if self._offers(call)]
        if final := next((call for call in offers if call.final), None):
            self._accept(final.membership, final=True)
        elif members := self._proposed():
            self._propose(members)
        else:
            lowest = min(alike(own, self._others), default=own.candidate)
            offer = next((call for call in offers if call.candidate == lowest < own.candidate), None)
            self._accept(offer.membership if offer else None)

    def _offers(self, call: Call) -> bool:
        """Whether a call has a membership with this process in it."""
        return call.membership is not None and call.membership.has(self._own.candidate, self.life)

    def _accepts(self, call: Call) -> bool:
        """Whether a call has a membership with this process in it, or names the one that this one has accepted."""
        own, told = self._own.membership, call.membership
        return self._offers(call) or (own is not None and told is not None and told.name == own.name)

    def _hears(self) -> frozenset[str]:
        return frozenset(map(mark, self._heard))

    def _proposed(self) -> list[int]:
        if self._obstacle:
            return []
        return proposal(self._own, self._others, self._rules, self._expected, self._has_record)

    def _propose(self, members: list[int]) -> None:
        calls = {**self._others, self._own.candidate: self._own}
        wanted = tuple(members), tuple(mark(calls[member].life) for member in members)
        before = self._own.membership
        if before is None or (before.members, before.marks) != wanted:
            before = Membership(uuid.uuid4().hex, *wanted)
        self._accept(before)
        accepted = [call.membership and call.membership.name for m, call in calls.items() if m in {*members[1:]}]
        if accepted == [before.name] * len(accepted):
            self._obstacle = self._run.claim()
            self._accept(before, final=not self._obstacle)

    def _accept(self, membership: Membership | None, final: bool = False) -> None:
        if (self._own.membership, self._own.final) != (membership, final):
            self._own = dataclasses.replace(self._own, membership=membership, final=final)
            self._next_call = 0.0

    # --- telling ---

    def _call(self) -> None:
        self._own = own = dataclasses.replace(self._own, number=self._own.number + 1, hears=self._hears())
        to_all = None if self._are_many else own.datagram(self._secret)
        for index in sorted(circle.called(own.candidate, self._candidates.count, self._others, own.number)):
            if self._are_many:
                self._take_waiting()
            address = self._senders.get(index) or self._candidates.addresses[index]
            datagrams.send(self._socket, address, to_all or self._to(self._others.get(index)))
        for sender in self._strangers.values():
            datagrams.send(self._socket, sender, self._to(None))

    def _to(self, other: Call | None) -> bytes:
        """This process's call to one of many, from whom it may have heard."""
        lives = [*self._strangers, *([other.life] if other else [])]
        return self._own.to_one_of_many(lives).datagram(self._secret)

    def _repeat(self, every_s: float) -> None:
        """Says once more what may be this process's last call."""
        for _ in range(REPEATS):
            self._call()
            time.sleep(every_s)

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)

    def _check_patience(self) -> None:
        """Says for whom this process waits, and raises the error with which that ends."""
        if self._is_spare or self._own.final:
            return
        seen = self._own, self._others, self._rules, self._has_record, self._obstacle
        wait = Wait(self._candidates, *seen, self._waited, self._start_timeout_s)
        failure = wait.failure()
        if isinstance(failure, UsageError):
            self._repeat(self._call_s)  # so that the others see the difference too
        if failure:
            raise failure
        if line := wait.line():
            self._say_once(line)
