"""Which candidates are to be the job: PURE. All that hear each other come to the same answer."""

import dataclasses
import itertools
from collections.abc import Mapping

from pipeline.workers import circle
from pipeline.workers.calls import Call

Calls = Mapping[int, Call]  # the fresh calls of other candidates, by their index


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a job needs."""

    candidates: int  # how many there are
    least: int  # --min_workers
    fitting: tuple[int, ...]  # the numbers of workers that the shards allow, rising
    rejoin_s: float = 0.0  # after which the job goes on without those that are missing

    def size(self, present: int) -> int:
        """The number of workers of a job when so many are present; 0 if that is too few."""
        return max((n for n in self.fitting if self.least <= n <= present), default=0)


def hear_each_other(one: Call, other: Call) -> bool:
    """Whether each of two candidates hears the other."""
    return one.does_hear(other.life) and other.does_hear(one.life)


def are_complete(own: Call, others: Calls, count: int) -> bool:
    """Whether so many candidates all hear each other, or if they are many, each hears this one."""
    if count > circle.FEW:
        return len(others) == count - 1 and all(hear_each_other(own, call) for call in others.values())
    pairs = itertools.combinations([own, *others.values()], 2)
    return len(others) == count - 1 and all(hear_each_other(*pair) for pair in pairs)


def alike(own: Call, others: Calls) -> dict[int, Call]:
    """The others that have the terms of this one, and hear and are heard by it."""
    return {k: call for k, call in others.items() if call.terms_text == own.terms_text and hear_each_other(own, call)}


def company(own: Call, others: Calls, count: int) -> list[int]:
    """The candidates of these terms that all hear each other, this one among them; rising.

    Of many, those that hear this one and are heard: they do not call each other.
    """
    if count > circle.FEW:
        return sorted([own.candidate, *alike(own, others)])
    chosen = {own.candidate: own}
    for index, call in sorted(alike(own, others).items()):
        if all(hear_each_other(call, member) for member in chosen.values()):
            chosen[index] = call
    return sorted(chosen)


def differing(own: Call, others: Calls) -> int | None:
    """The lowest of the candidates with other terms, of which most have the same; None if these terms prevail.

    Of equally many the terms of the lowest candidate prevail. So a spare with a wrong flag does not end a job.
    """
    groups: dict[str, list[int]] = {}
    for call in sorted([own, *others.values()], key=lambda call: call.candidate):
        groups.setdefault(call.terms_text, []).append(call.candidate)
    prevailing = max(groups.values(), key=lambda group: (len(group), -group[0]))
    return None if own.candidate in prevailing else prevailing[0]


def proposal(own: Call, others: Calls, rules: Rules, expected: set[int], has_record: bool) -> list[int]:
    """The members that this candidate is to propose now; [] if it is to wait, or to leave that to another one.

    expected: those that the run waits for before --rejoin_timeout is over. has_record: whether the run directory holds
    the run already. If it does not, it may be the wrong disk, and more than half of the candidates must agree on it.
    """
    near = alike(own, others)
    if differing(own, others) is not None or min([own.candidate, *near]) < own.candidate:
        return []
    present = company(own, others, rules.candidates)
    waited = max(call.waited for call in (own, *near.values()))
    if not expected <= set(present) and waited < rules.rejoin_s:
        return []
    if not has_record and 2 * len(present) <= rules.candidates:
        return []
    return present[: rules.size(len(present))]
