"""What a worker of many knows of all others, by their own words or by what others pass on.

Each worker counts its words. Of each, all others keep the highest number they heard of, and when that came: as long as
it rises, the worker lives (van Renesse, Minsky & Hayden 1998, "A gossip-style failure detection service"). With it go
which of them have met, the first farewell, and the status of the worker that is furthest behind.
"""

import base64
import dataclasses
import hashlib
import time
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.errors import PeerLostError
from pipeline.workers import fingers
from pipeline.workers.words import is_count, is_farewell, is_name

STARTED_ANEW = {"code": int(PeerLostError.code), "message": "was started anew, so the process before it is gone"}
SUPPOSED_GONE_S = 3.0  # in the meeting, without a new number of a process; then another one of its worker may count
_MOST = (1 << 32) - 2
_NONE = np.zeros(0, np.uint32)


@dataclasses.dataclass(frozen=True)
class News:
    """What one worker passes on of all."""

    lives: np.ndarray  # [workers] uint32: a hash of the life of each, 0 if unknown; [0] once all have met
    numbers: np.ndarray  # [workers] uint32: 1 + the number of the newest word of each; 0 for none
    table: str  # a hash of all lives; '' as long as one is unknown
    met: int  # bit k: worker k has met all of this table
    chief: Mapping[str, Any] | None  # its life and its hello, until all have met
    farewell: Mapping[str, Any] | None  # the first one: worker, code, message
    behind: Mapping[str, Any] | None  # the status of the worker furthest behind: worker, number, status

    def value(self) -> dict[str, Any]:
        """The news in types of JSON."""
        arrays = {name: base64.b64encode(getattr(self, name).tobytes()).decode() for name in ("lives", "numbers")}
        return {**vars(self), **arrays, "met": f"{self.met:x}"}

    @classmethod
    def read(cls, value: Any, count: int) -> "News | None":
        """The news of so many workers in a JSON value; None if it holds none."""
        if not isinstance(value, dict) or value.keys() != {field.name for field in dataclasses.fields(cls)}:
            return None
        lives, numbers = _integers(value["lives"]), _integers(value["numbers"])
        if lives is None or numbers is None or len(lives) not in (0, count) or len(numbers) != count:
            return None
        good = is_name(value["table"]) and all(_is_record(value[name], rules, count) for name, rules in _RULES.items())
        met = _bits(value["met"], count)
        return cls(**{**value, "lives": lives, "numbers": numbers, "met": met}) if good and met is not None else None


class Hearsay:
    """What this worker knows of all. It has no lock."""

    def __init__(self, index: int, count: int, life: str):
        self._index, self._count = index, count
        self._lives, self._numbers = np.zeros(count, np.uint32), np.zeros(count, np.uint32)
        self._at = np.full(count, -np.inf)  # when the number last rose, on this process's monotonic clock
        self._lives[index], self._numbers[index] = _hashed(life), 1
        self._met, self._settled = 0, False
        self.chief: Mapping[str, Any] | None = None  # its life and its hello
        self.farewell: Mapping[str, Any] | None = None  # the first one that is known: worker, code, message
        self.behind: Mapping[str, Any] | None = None  # who is furthest behind: worker, number, status

    # --- telling ---

    def news(self, number: int, status: Mapping[str, Any]) -> News:
        """What to pass on with this worker's own word of this number and status."""
        self._numbers[self._index] = min(number, _MOST) + 1
        self._compare({"worker": self._index, "number": number, "status": status})
        lives, chief = (_NONE, None) if self.all_met else (self._lives.copy(), self.chief)
        chief = None if self.farewell else chief
        return News(lives, self._numbers.copy(), self._table, self._met, chief, self.farewell, self.behind)

    # --- listening ---

    def hear(self, worker: int, life: str, number: int, status: Mapping[str, Any]) -> None:
        """Notes another worker's own word."""
        if self._lives[worker] != _hashed(life):
            if self._settled:
                return
            self._replace(np.arange(self._count) == worker, _hashed(life), 0)
        number = min(number, _MOST)
        if number + 1 > self._numbers[worker]:
            self._numbers[worker], self._at[worker] = number + 1, time.monotonic()
        self._compare({"worker": worker, "number": number, "status": status})

    def take(self, news: News) -> None:
        """Notes what another worker of the same table, or of one still incomplete, passes on."""
        if not len(news.lives) and not self._settled:
            return
        lives = news.lives if len(news.lives) else self._lives
        others = np.arange(self._count) != self._index
        same, now = others & (lives == self._lives), time.monotonic()
        risen = same & (news.numbers > self._numbers)
        self._numbers[risen], self._at[risen] = news.numbers[risen], now
        anew = others & ~same & (lives != 0) & (self._at < now - SUPPOSED_GONE_S)
        if anew.any():
            self._take_anew(anew, lives, news.numbers)
        if news.table and news.table == self._table:
            self._met |= news.met
        if news.chief and _hashed(news.chief["life"]) == self._lives[0]:
            self.chief = news.chief
        if news.farewell:
            self.note_farewell(news.farewell["worker"], news.farewell)
        if news.behind and news.behind["worker"] != self._index:
            self._compare(news.behind)

    def _take_anew(self, which: np.ndarray, lives: np.ndarray, numbers: np.ndarray) -> None:
        """Puts other processes in the place of those that seem gone; once this one has met those, that is their end."""
        if self._settled:
            self.note_farewell(int(np.flatnonzero(which)[0]), STARTED_ANEW)
        else:
            self._replace(which, lives[which], numbers[which])

    def _replace(self, which: np.ndarray, lives: Any, numbers: Any) -> None:
        """Puts other processes in the place of these; they live as soon as their numbers rise."""
        self._lives[which], self._numbers[which], self._at[which] = lives, numbers, time.monotonic() - SUPPOSED_GONE_S
        self._met, self.chief = 0, None if which[0] else self.chief

    def note_farewell(self, worker: int, farewell: Mapping[str, Any]) -> None:
        """Notes that another worker leaves; the first farewell is the one that counts."""
        if self.farewell is None and worker != self._index:
            self.farewell = {"worker": worker, "code": farewell["code"], "message": farewell["message"]}

    def _compare(self, told: Mapping[str, Any]) -> None:
        """Keeps a status if it is further behind than the one that is kept, or comes in its place."""
        if (kept := self.behind) is not None:
            is_newer = told["worker"] == kept["worker"] and told["number"] >= kept["number"]
            is_old = int(self._numbers[kept["worker"]]) - kept["number"] > fingers.hops(self._count) + 2
            if not (is_newer or is_old or _place(told) < _place(kept)):
                return
        self.behind = told

    # --- the meeting ---

    @property
    def _table(self) -> str:
        return hashlib.sha256(self._lives.tobytes()).hexdigest()[:16] if self._lives.all() else ""

    @property
    def is_complete(self) -> bool:
        """Whether each worker was heard of, and lately, and the chief's hello."""
        self._at[self._index] = time.monotonic()
        is_recent = bool((self._at > time.monotonic() - SUPPOSED_GONE_S).all())
        return is_recent and bool(self._table) and (self.chief is not None or self._index == 0)

    def settle(self) -> None:
        """Says that this worker has met all; from now on no other processes count."""
        self._settled = True
        self._met |= 1 << self._index

    @property
    def all_met(self) -> bool:
        """Whether all workers have met."""
        return self._met == (1 << self._count) - 1

    def missing(self) -> set[int]:
        """The workers that nothing was heard of, or if there are none, that have not met the others."""
        unheard = set(np.flatnonzero(self._lives == 0).tolist())
        return unheard or {worker for worker in range(self._count) if not self._met >> worker & 1}

    def silent(self) -> dict[int, float]:
        """For every other worker that was heard of, the seconds since its number last rose."""
        seconds = time.monotonic() - self._at
        known = np.flatnonzero(self._lives).tolist()
        return {worker: float(seconds[worker]) for worker in known if worker != self._index}


def _place(told: Mapping[str, Any]) -> tuple[int, bool]:
    """How far a worker has come; of those that are as far, who is late comes first."""
    arrived = told["status"].get("arrived")
    return arrived if type(arrived) is int else _MOST, told["status"].get("late") is not True


def _hashed(life: str) -> int:
    return zlib.crc32(life.encode(errors="replace")) or 1


def _integers(value: Any) -> np.ndarray | None:
    """The numbers in a text of base64; None if it holds none."""
    try:
        return np.frombuffer(base64.b64decode(value, validate=True), np.uint32).copy()
    except (TypeError, ValueError):
        return None


def _bits(value: Any, count: int) -> int | None:
    """The number in a hexadecimal text, of so many bits at most."""
    try:
        bits = int(value, 16) if isinstance(value, str) and len(value) <= count else -1
    except ValueError:
        return None
    return bits if 0 <= bits < 1 << count else None


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
    "behind": {"worker": is_count, "number": is_count, "status": lambda value: isinstance(value, dict)},
}
