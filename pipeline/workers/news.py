"""What a worker of many passes on of all in each of its words, and how that is read without trust. PURE."""

import base64
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from pipeline.workers.words import is_count, is_farewell, is_name

MOST_RUMOURS = 1024  # in one word: 22 kB of a datagram's 64
MOST = (1 << 32) - 2  # the largest number that travels
NONE = np.zeros(0, np.uint32)
_ALL = "all"  # said for the bits of all workers, so that a word is no longer for more of them


class Rumour(NamedTuple):
    """What is told of a worker that was silent, or was said to be."""

    worker: int
    number: int  # of its newest word that is known
    silent_s: float  # seconds since that word came, 0 where it lives
    told_s: float  # seconds since one of its neighbours last said so


@dataclasses.dataclass(frozen=True)
class News:
    """What one worker passes on of all. Its size does not depend on their number once all have met."""

    lives: np.ndarray  # [workers] uint32: a hash of the life of each, 0 if unknown; [0] once all have met
    numbers: np.ndarray  # [workers] uint32: 1 + the number of the newest word of each, or 0; [0] once all have met
    table: str  # a hash of all lives; '' as long as one is unknown
    met: int  # bit k: worker k has met all of this table
    chief: Mapping[str, Any] | None  # its life and its hello, until all have met
    farewell: Mapping[str, Any] | None  # the first one: worker, code, message
    behind: Mapping[str, Any] | None  # the status of the worker furthest behind: worker, number, status, told_s
    rumours: tuple[Rumour, ...] = ()  # once all have met

    def value(self, count: int) -> dict[str, Any]:
        """The news of so many workers in types of JSON."""
        arrays = {"lives": self.lives, "numbers": self.numbers, "rumours": _as_integers(self.rumours)}
        texts = {name: base64.b64encode(array.tobytes()).decode() for name, array in arrays.items()}
        return {**vars(self), **texts, "met": _ALL if self.met == _all(count) else f"{self.met:x}"}

    @classmethod
    def read(cls, value: Any, count: int) -> "News | None":
        """The news of so many workers in a JSON value; None if it holds none."""
        if not isinstance(value, dict) or value.keys() != {field.name for field in dataclasses.fields(cls)}:
            return None
        lives, numbers = _integers(value["lives"]), _integers(value["numbers"])
        if lives is None or numbers is None or len(lives) not in (0, count) or len(numbers) != len(lives):
            return None
        met, rumours = _bits(value["met"], count), _rumours(value["rumours"], count)
        good = is_name(value["table"]) and all(_is_record(value[name], rules, count) for name, rules in _RULES.items())
        if not good or met is None or rumours is None:
            return None
        return cls(**{**value, "lives": lives, "numbers": numbers, "met": met, "rumours": rumours})


def _all(count: int) -> int:
    return (1 << count) - 1


def _as_integers(rumours: Iterable[Rumour]) -> np.ndarray:
    """[rumours, 4] uint32: worker, number, and milliseconds."""
    rows = [(r.worker, r.number, round(1e3 * r.silent_s), round(1e3 * r.told_s)) for r in rumours]
    return np.asarray(rows, np.int64).clip(0, MOST).astype(np.uint32)


def _rumours(value: Any, count: int) -> tuple[Rumour, ...] | None:
    """The rumours in a text of base64, of so many workers; None if it holds none."""
    found = _integers(value)
    if found is None or len(found) % 4 or len(found) > 4 * MOST_RUMOURS:
        return None
    rows = found.reshape(-1, 4).tolist()
    rumours = tuple(Rumour(worker, number, silent / 1e3, told / 1e3) for worker, number, silent, told in rows)
    return rumours if all(rumour.worker < count for rumour in rumours) else None


def _integers(value: Any) -> np.ndarray | None:
    """The numbers in a text of base64; None if it holds none."""
    if value == "":
        return NONE
    try:
        return np.frombuffer(base64.b64decode(value, validate=True), np.uint32).copy()
    except (TypeError, ValueError):
        return None


def _bits(value: Any, count: int) -> int | None:
    """The number in a hexadecimal text, of so many bits at most."""
    if value == _ALL:
        return _all(count)
    try:
        bits = int(value, 16) if isinstance(value, str) and len(value) <= count else -1
    except ValueError:
        return None
    return bits if 0 <= bits <= _all(count) else None


def _is_record(value: Any, rules: Mapping[str, Any], count: int) -> bool:
    """Whether a JSON value is None, or has these parts; a part named worker is one of so many."""
    if value is None:
        return True
    if not isinstance(value, dict) or value.keys() != rules.keys():
        return False
    return all(rule(value[name]) for name, rule in rules.items()) and value.get("worker", 0) < count


_RULES: dict[str, dict[str, Any]] = {
    "chief": {"life": is_name, "hello": lambda value: isinstance(value, dict)},
    "farewell": {
        "worker": is_count,
        "code": lambda value: is_farewell({"code": value, "message": ""}),
        "message": lambda value: is_farewell({"code": 0, "message": value}),
    },
    "behind": {
        "worker": is_count,
        "number": is_count,
        "status": lambda value: isinstance(value, dict),
        "told_s": lambda value: type(value) in (int, float) and value >= 0,
    },
}
