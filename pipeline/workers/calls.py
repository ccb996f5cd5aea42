"""The messages of candidates: the processes that may become the workers of a job that shrinks and grows. PURE.

Candidates call all others until they know who the job is; a running job answers. Like other workers' words these are
sealed, and read without trust: `read` gives None for what is no message.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from pipeline.workers.words import is_count, is_name, sealed

MOST_CANDIDATES = 4096
FRESH_S = 3.0  # for which a call holds
LONGEST_REFUSAL = 4000  # characters


@dataclasses.dataclass(frozen=True)
class Membership:
    """The candidates that are the job, by rising index, each with the life of its process."""

    name: str  # drawn by the first of them, who proposes it
    members: tuple[int, ...]
    lives: tuple[str, ...]

    def has(self, candidate: int, life: str) -> bool:
        """Whether this process of a candidate is a member."""
        return (candidate, life) in zip(self.members, self.lives, strict=True)

    @classmethod
    def read(cls, value: Any) -> "Membership | None":
        """The membership in a JSON value; None if it holds none."""
        if not isinstance(value, dict) or value.keys() != {"name", "members", "lives"} or not is_name(value["name"]):
            return None
        members, lives = value["members"], value["lives"]
        if not _is_list(members, is_count) or not _is_list(lives, is_name) or len(members) != len(lives):
            return None
        is_rising = members and members == sorted(set(members))
        return cls(value["name"], tuple(members), tuple(lives)) if is_rising else None


@dataclasses.dataclass(frozen=True)
class Call:
    """A candidate's word to all others."""

    candidate: int
    life: str  # of its process, drawn at its start
    number: int  # grows with every call of a life
    hears: tuple[str, ...]  # the lives that it hears
    terms: Mapping[str, Any]  # what must be equal on all workers: see agreement.py
    owner: str  # of the run directory, as it sees it
    waited: int  # seconds for which it has waited for others
    membership: Membership | None  # the one that it proposes, or has accepted
    final: bool  # all of that one's members have accepted it

    def datagram(self, secret: bytes) -> bytes:
        """The call as it is sent."""
        return sealed(json.dumps({"call": dataclasses.asdict(self)}).encode(), secret)

    @classmethod
    def read(cls, value: Any) -> "Call | None":
        """The call in a JSON value; None if it holds none."""
        fields = _content(value, "call", _CALL)
        if fields is None:
            return None
        membership = Membership.read(fields["membership"])
        if (membership is None) != (fields["membership"] is None):
            return None
        return cls(**{**fields, "hears": tuple(fields["hears"]), "membership": membership})


@dataclasses.dataclass(frozen=True)
class Answer:
    """A running job's word to a candidate."""

    life: str  # of the worker's process
    to: str  # the life of the candidate's process
    running: int  # the number of the job's workers
    membership: Membership | None  # which the candidate is a member of, and has not heard to be final
    code: int  # with which the candidate is to end, for the reason that follows; 0 if it is to wait
    reason: str

    def datagram(self, secret: bytes) -> bytes:
        """The answer as it is sent."""
        return sealed(json.dumps({"answer": dataclasses.asdict(self)}).encode(), secret)

    @classmethod
    def read(cls, value: Any) -> "Answer | None":
        """The answer in a JSON value; None if it holds none."""
        fields = _content(value, "answer", _ANSWER)
        return None if fields is None else cls(**{**fields, "membership": Membership.read(fields["membership"])})


def _content(value: Any, kind: str, rules: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of a message of one kind, if each follows its rule."""
    if not isinstance(value, dict) or value.keys() != {kind}:
        return None
    fields = value[kind]
    if not isinstance(fields, dict) or fields.keys() != rules.keys():
        return None
    return fields if all(rule(fields[name]) for name, rule in rules.items()) else None


def _is_list(value: Any, rule: Any) -> bool:
    return isinstance(value, list) and len(value) <= MOST_CANDIDATES and all(map(rule, value))


def _is_terms(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(part, dict) for part in value.values())


_CALL = {
    "candidate": is_count,
    "life": is_name,
    "number": is_count,
    "hears": lambda value: _is_list(value, is_name),
    "terms": _is_terms,
    "owner": is_name,
    "waited": is_count,
    "membership": lambda value: value is None or isinstance(value, dict),
    "final": lambda value: isinstance(value, bool),
}
_ANSWER = {
    "life": is_name,
    "to": is_name,
    "running": is_count,
    "membership": lambda value: value is None or isinstance(value, dict),
    "code": lambda value: is_count(value) and value < 256,
    "reason": lambda value: isinstance(value, str) and len(value) <= LONGEST_REFUSAL,
}
