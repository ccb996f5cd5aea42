"""The candidates that a running job hears: members that lag behind or were started anew, and newcomers.

See docs/design/workers.md. The chief alone speaks to newcomers, and says when they make a larger job possible.
"""

import threading
import time
from collections.abc import Collection, Sequence
from typing import NamedTuple

from pipeline.errors import ExitCode, PipelineError, RegroupError
from pipeline.workers.agreement import Terms, difference
from pipeline.workers.calls import FRESH_S, LONGEST_REFUSAL, Answer, Call, Membership
from pipeline.workers.proposals import Rules

SHARED_S = 15.0  # in which a newcomer on another host sees who owns the run directory
_FINAL = (ExitCode.USAGE, ExitCode.BAD_DATA, ExitCode.DIVERGED, ExitCode.PREEMPTED)  # a job's ends for its spares too


class Newcomer(NamedTuple):
    """A candidate that asks to be taken in."""

    life: str
    since: float  # when it first called
    at: float  # when it last did, and was fit


class Newcomers:
    """What a member of a running job knows of candidates. For any thread."""

    def __init__(self, membership: Membership, life: str, own: int, terms: Terms, rules: Rules):
        """life: this process's. own: its index among the candidates."""
        self.membership, self.life = membership, life
        self._is_chief = membership.members[0] == own
        self._terms, self._rules = terms, rules
        self.owner = ""  # the mark of the run directory's owner; none is fit to come in before it is known
        self._ended: tuple[int, str] = (0, "")
        self._seen: dict[int, Newcomer] = {}
        self._guard = threading.Lock()

    def member(self, call: Call) -> int | None:
        """The index in the job of the candidate that calls; None if it is no member."""
        members = self.membership.members
        return members.index(call.candidate) if call.candidate in members else None

    def is_started_anew(self, call: Call) -> bool:
        """Whether the caller is a process of a member that came after the one of this job."""
        is_other = self.member(call) is not None and not self.membership.has(call.candidate, call.life)
        return is_other and call.does_hear(self.life)

    def answer(self, call: Call) -> Answer | None:
        """What to tell a candidate; None for nothing."""
        if self.membership.has(call.candidate, call.life):
            return None if call.final else self._said(call, membership=self.membership)
        if not self._is_chief or self.member(call) is not None:
            return None
        code, reason = self._refusal(call)
        return self._said(call, code=int(code), reason=reason[:LONGEST_REFUSAL])

    def _said(self, call: Call, membership: Membership | None = None, code: int = 0, reason: str = "") -> Answer:
        return Answer(self.life, call.life, len(self.membership.members), membership, code, reason)

    def _refusal(self, call: Call) -> tuple[int, str]:
        """The code and the reason to send a newcomer away; (0, "") if it may wait."""
        with self._guard:
            now, before = time.monotonic(), self._seen.get(call.candidate)
            since = before.since if before and before.life == call.life else now
            is_fit = call.does_hear(self.life) and bool(self.owner) and call.owner == self.owner
            at = now if is_fit else before.at if before and before.life == call.life else -FRESH_S
            self._seen[call.candidate] = Newcomer(call.life, since, at)
            if self._ended[0]:
                return self._ended
        if told := difference(call.terms, self._terms):
            return ExitCode.USAGE, f"this worker and the running job {told}"
        if self.owner and call.owner != self.owner and now - since > SHARED_S:
            return ExitCode.USAGE, (
                "--run_dir is not the directory of the running job; --min_workers needs one that all workers share"
            )
        return 0, ""

    def end(self, error: PipelineError) -> bool:
        """Ends the wait of the newcomers with the error with which this job ends; returns whether there are any."""
        with self._guard:
            if error.code in _FINAL and not isinstance(error, RegroupError) and not self._ended[0]:
                self._ended = int(error.code), str(error)
            recent = time.monotonic() - FRESH_S
            return bool(self._ended[0]) and any(newcomer.at > recent for newcomer in self._seen.values())

    def addresses_of(self, lives: Collection[str], candidates: Sequence[str]) -> list[str]:
        """The addresses of these newcomers, among those of all candidates."""
        with self._guard:
            return [candidates[index] for index, newcomer in self._seen.items() if newcomer.life in lives]

    def to_take_in(self, tried: Collection[str]) -> list[str]:
        """The lives of the newcomers with which the job could be larger; [] if it could not.

        tried: lives that do not count.
        """
        with self._guard:
            recent = time.monotonic() - FRESH_S
            fit = [newcomer.life for newcomer in self._seen.values() if newcomer.at > recent]
        lives = [life for life in fit if life not in tried]
        size = len(self.membership.members)
        return lives if self._rules.size(size + len(lives)) > size else []
