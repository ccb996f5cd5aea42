"""The messages of candidates: the processes that may become the workers of a job that shrinks and grows. PURE.

Candidates call each other (see circle.py) until they know who the job is; a running job answers. Like other workers'
words these are sealed, and read without trust: `read` gives None for what is no message.
"""

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.workers.words import is_count, is_name, sealed

MOST_CANDIDATES = 4096  # whose membership fits a datagram
MARK = 8  # characters
FRESH_S = 3.0  # for which a call holds
LONGEST_REFUSAL = 4000  # characters


@functools.lru_cache(maxsize=2 * MOST_CANDIDATES)
def mark(life: str) -> str:
    """A hash of the life of a process, by which lists name it."""
    return hashlib.sha256(life.encode(errors="replace")).hexdigest()[:MARK]


@dataclasses.dataclass(frozen=True)
class Membership:
    """The candidates that are the job, by rising index, each with the mark of its process."""

    name: str  # drawn by the first of them, who proposes it
    members: tuple[int, ...]  # () where the name alone is told
    marks: tuple[str, ...]

    def has(self, candidate: int, life: str) -> bool:
        """Whether this process of a candidate is a member."""
        return (candidate, mark(life)) in zip(self.members, self.marks, strict=True)

    @property
    def named(self) -> "Membership":
        """Its name alone."""
        return Membership(self.name, (), ())

    @functools.cached_property
    def value(self) -> dict[str, str]:
        """The membership in types of JSON: a bit for each candidate, and the marks of the members."""
        bits = sum(1 << member for member in self.members)
        return {"name": self.name, "members": f"{bits:x}", "marks": "".join(self.marks)}

    @classmethod
    def read(cls, value: Any) -> "Membership | None":
        """The membership in a JSON value; None if it holds none."""
        if not isinstance(value, dict) or value.keys() != {"name", "members", "marks"} or not is_name(value["name"]):
            return None
        members, marks = _members(value["members"]), _marks(value["marks"])
        good = members is not None and marks is not None and len(members) == len(marks)
        return cls(value["name"], members or (), marks or ()) if good else None


@dataclasses.dataclass(frozen=True)
class Call:
    """A candidate's word to others."""

    candidate: int
    life: str  # of its process, drawn at its start
    number: int  # grows with every call of a life
    hears: frozenset[str]  # the marks of the lives that it hears; of many, those that concern whom it calls
    terms: Mapping[str, Any]  # what must be equal on all workers: see agreement.py
    owner: str  # of the run directory, as it sees it
    waited: int  # seconds for which it has waited for others
    membership: Membership | None  # the one that it proposes, or has accepted
    final: bool  # all of that one's members have accepted it

    def does_hear(self, life: str) -> bool:
        """Whether it hears a process."""
        return mark(life) in self.hears

    @functools.cached_property
    def terms_text(self) -> str:
        """The terms as a text, which is equal where they are."""
        return json.dumps(self.terms, sort_keys=True)

    def to_one_of_many(self, lives: Iterable[str]) -> "Call":
        """The call to one of many, which it concerns that these lives are heard: it has about one size for any number.

        Only who proposes a membership tells its members; who has accepted it tells its name.
        """
        told = self.membership
        told = told if told is None or told.members[:1] == (self.candidate,) else told.named
        return dataclasses.replace(self, hears=self.hears & {mark(life) for life in lives}, membership=told)

    def datagram(self, secret: bytes) -> bytes:
        """The call as it is sent."""
        fields = {**_shown(self), "hears": "".join(sorted(self.hears))}
        return sealed(json.dumps({"call": fields}).encode(), secret)

    @classmethod
    def read(cls, value: Any) -> "Call | None":
        """The call in a JSON value; None if it holds none."""
        fields = _content(value, "call", _CALL)
        if fields is None:
            return None
        membership = Membership.read(fields["membership"])
        if (membership is None) != (fields["membership"] is None):
            return None
        return cls(**{**fields, "hears": frozenset(_marks(fields["hears"]) or ()), "membership": membership})


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
        return sealed(json.dumps({"answer": _shown(self)}).encode(), secret)

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


def _shown(message: Call | Answer) -> dict[str, Any]:
    """A message's fields in types of JSON, but for those that are sets."""
    fields = {field.name: getattr(message, field.name) for field in dataclasses.fields(message)}
    return {**fields, "membership": message.membership and message.membership.value}


def _marks(value: Any) -> tuple[str, ...] | None:
    """The marks in a text; None if it holds none."""
    if not isinstance(value, str) or len(value) % MARK or len(value) > MARK * MOST_CANDIDATES:
        return None
    return tuple(value[first : first + MARK] for first in range(0, len(value), MARK))


def _members(value: Any) -> tuple[int, ...] | None:
    """The candidates whose bits are set in a hexadecimal text, rising; None if it holds none."""
    if not isinstance(value, str) or len(value) > MOST_CANDIDATES // 4 or not re.fullmatch("[0-9a-f]+", value):
        return None
    bits = int(value, 16)
    return tuple(member for member in range(bits.bit_length()) if bits >> member & 1)


def _is_terms(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(part, dict) for part in value.values())


_CALL = {
    "candidate": is_count,
    "life": is_name,
    "number": is_count,
    "hears": lambda value: _marks(value) is not None,
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
