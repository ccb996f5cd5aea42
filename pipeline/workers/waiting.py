"""For whom a candidate of a job waits, and when its wait is given up."""

import dataclasses
from collections.abc import Mapping

from pipeline.engine.topology import Workers
from pipeline.errors import PeerLostError, PipelineError, StorageError, UsageError
from pipeline.workers import circle
from pipeline.workers.agreement import difference
from pipeline.workers.calls import Call
from pipeline.workers.proposals import Rules, alike, are_complete, company, differing

MOST_NAMED = 32  # candidates in a line
FEW_S = 5.0  # after which a candidate says for whom it waits


@dataclasses.dataclass(frozen=True)
class Wait:
    """A candidate's wait for others, as it stands now."""

    candidates: Workers
    own: Call
    others: Mapping[int, Call]
    rules: Rules
    has_record: bool  # whether the run directory holds the run
    obstacle: str  # why this process cannot own the run directory; '' if it can
    seconds: float
    limit_s: float

    def failure(self) -> PipelineError | None:
        """The error with which the wait ends: UsageError for other terms, StorageError, PeerLostError; or None."""
        is_over = self.seconds > self.limit_s
        if (other := self._other_terms(is_over)) is not None:
            return UsageError(f"workers {self.own.candidate} and {other} {self._difference(other)}")
        if is_over and self.obstacle and self._are_enough:
            return StorageError(self.obstacle)
        return PeerLostError(self._nobody_came) if is_over else None

    def line(self) -> str:
        """The line that says what the process waits for; '' for a wait that is short."""
        if self.seconds <= FEW_S:
            return ""
        if self.obstacle and self._are_enough:
            return f"waits: {self.obstacle}"
        if self._gatherer:
            return f"waits for {self._gatherer}, which gathers all others"
        return f"waits for {self._absent}; {self._here}" if self._absent else ""

    @property
    def _gatherer(self) -> str:
        """Of many, the lowest candidate that hears and is heard by this one; '' if that is this one itself."""
        lowest = min(alike(self.own, self.others), default=self.own.candidate)
        return (
            self.candidates.name(lowest) if self.candidates.count > circle.FEW and lowest < self.own.candidate else ""
        )

    @property
    def _nobody_came(self) -> str:
        remedy = "or give a larger --start_timeout or a smaller --min_workers"
        if self._gatherer:
            return (
                f"{self._gatherer} gathers all others, and had no job within {self.limit_s:.0f} s; see there, {remedy}"
            )
        return (
            f"{self._absent or 'none'} did not come within {self.limit_s:.0f} s, and {self._here}; see that the "
            f"same command runs there and that the hosts reach each other, {remedy}"
        )

    def _other_terms(self, is_over: bool) -> int | None:
        """A candidate whose flags or versions keep the job from coming about."""
        all_are_here = are_complete(self.own, self.others, self.candidates.count)
        other = differing(self.own, self.others)
        if other is not None and (is_over or all_are_here or self.others[other].membership):
            return other
        strangers = [k for k, call in self.others.items() if call.terms != self.own.terms]
        return min(strangers) if strangers and not self._are_enough and (is_over or all_are_here) else None

    def _difference(self, other: int) -> str:
        return difference(self.own.terms, self.others[other].terms)

    @property
    def _present(self) -> list[int]:
        return company(self.own, self.others, self.candidates.count)

    @property
    def _are_enough(self) -> bool:
        is_majority = self.has_record or 2 * len(self._present) > self.candidates.count
        return is_majority and self.rules.size(len(self._present)) > 0

    @property
    def _absent(self) -> str:
        present = {*self._present}
        absent = [self.candidates.name(k) for k in range(self.candidates.count) if k not in present]
        more = f", and {len(absent) - MOST_NAMED} more" if len(absent) > MOST_NAMED else ""
        return ", ".join(absent[:MOST_NAMED]) + more

    @property
    def _here(self) -> str:
        """How many are here, of the least number that the shards and the state of the run directory allow."""
        majority = self.candidates.count // 2 + 1 if not self.has_record else 0
        fits = [n for n in self.rules.fitting if n >= self.rules.least]
        least, count = max(min(fits, default=self.rules.least), majority), len(self._present)
        return f"{count} of at least {least} workers {'is' if count == 1 else 'are'} here"
