"""What a worker of many knows of all others, by their own words or by what others pass on.

Each worker counts its words. Until all have met, all others keep the highest number of each that they heard of, and
when that came: as long as it rises, the worker lives (van Renesse, Minsky & Hayden 1998, "A gossip-style failure
detection service"). With it goes which of them have met. From then on only those that are silent are told of: see
rumours.py. At all times the first farewell goes along, and the status of the worker that is furthest behind.
"""

import hashlib
import time
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.errors import PeerLostError
from pipeline.workers import fingers
from pipeline.workers.news import MOST, NONE, News
from pipeline.workers.rumours import WATCHED_S, Rumours

STARTED_ANEW = {"code": int(PeerLostError.code), "message": "was started anew, so the process before it is gone"}
SUPPOSED_GONE_S = 3.0  # in the meeting, without a new number of a process; then another one of its worker may count


class Hearsay:
    """What this worker knows of all. It has no lock."""

    def __init__(self, index: int, count: int, life: str):
        self._index, self._count = index, count
        self._lives, self._numbers = np.zeros(count, np.uint32), np.zeros(count, np.uint32)
        self._at = np.full(count, -np.inf)  # when the number last rose, on this process's monotonic clock
        self._lives[index], self._numbers[index] = _hashed(life), 1
        self._met, self._settled, self._settled_table = 0, False, ""
        self._rumours = Rumours(index, count)
        self._outdated_s = fingers.delay_s(count) + WATCHED_S  # after which a status is, if its worker lives
        self.chief: Mapping[str, Any] | None = None  # its life and its hello
        self.farewell: Mapping[str, Any] | None = None  # the first one that is known: worker, code, message
        self.behind: Mapping[str, Any] | None = None  # who is furthest behind: worker, number, status
        self._behind_said = 0.0  # when that worker said so

    # --- telling ---

    def news(self, number: int, status: Mapping[str, Any]) -> News:
        """What to pass on with this worker's own word of this number and status."""
        now = time.monotonic()
        self._numbers[self._index] = min(number, MOST) + 1
        self._compare({"worker": self._index, "number": number, "status": status}, now)
        behind = {**(self.behind or {}), "told_s": round(now - self._behind_said, 1)}
        chief = None if self.farewell or self.all_met else self.chief
        if self.all_met:
            rumours = () if self.farewell else self._rumours.told(now)
            return News(NONE, NONE, self._table, self._met, chief, self.farewell, behind, rumours)
        lives, numbers = self._lives.copy(), self._numbers.copy()
        return News(lives, numbers, self._table, self._met, chief, self.farewell, behind)

    # --- listening ---

    def hear(self, worker: int, life: str, number: int, status: Mapping[str, Any]) -> None:
        """Notes another worker's own word."""
        if self._lives[worker] != _hashed(life):
            if self._settled:
                return
            self._replace(np.arange(self._count) == worker, _hashed(life), 0)
        number, now = min(number, MOST), time.monotonic()
        self._rumours.hear(worker, number, now)
        if number + 1 > self._numbers[worker]:
            self._numbers[worker], self._at[worker] = number + 1, now
        self._compare({"worker": worker, "number": number, "status": status}, now)

    def take(self, news: News) -> None:
        """Notes what another worker of the same table, or of one still incomplete, passes on."""
        now = time.monotonic()
        if len(news.lives) and not self.all_met:
            self._take_lives(news, now)
        elif not self._settled:
            return
        if news.table and news.table == self._table:
            self._met |= news.met
        if news.chief and _hashed(news.chief["life"]) == self._lives[0]:
            self.chief = news.chief
        if news.farewell:
            self.note_farewell(news.farewell["worker"], news.farewell)
        if self.all_met:
            self._rumours.take(news.rumours, now)
        if news.behind and news.behind["worker"] != self._index:
            told = {name: news.behind[name] for name in ("worker", "number", "status")}
            self._compare(told, now - news.behind["told_s"])

    def _take_lives(self, news: News, now: float) -> None:
        """Notes whose numbers rose, and which processes came in the place of others."""
        others = np.arange(self._count) != self._index
        same = others & (news.lives == self._lives)
        risen = same & (news.numbers > self._numbers)
        self._numbers[risen], self._at[risen] = news.numbers[risen], now
        anew = others & ~same & (news.lives != 0) & (self._at < now - SUPPOSED_GONE_S)
        if anew.any():
            self._take_anew(anew, news.lives, news.numbers)

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

    def _compare(self, told: Mapping[str, Any], said: float) -> None:
        """Keeps a status, said at that time, if it is further behind than the kept one, or comes in its place."""
        if (kept := self.behind) is not None and told["worker"] == kept["worker"]:
            if told["number"] < kept["number"]:
                return
            said = min(said, self._behind_said) if told["number"] == kept["number"] else said
        elif kept is not None and not self._is_outdated(kept, self._behind_said) and _place(told) >= _place(kept):
            return
        if not self._is_outdated(told, said):
            self.behind, self._behind_said = told, said

    def _is_outdated(self, told: Mapping[str, Any], said: float) -> bool:
        """Whether a status, said at that time, is no longer its worker's; that of a silent one is its last."""
        now = time.monotonic()
        return now - said > self._outdated_s and not self._rumours.is_silent(told["worker"], now)

    # --- the meeting ---

    @property
    def _table(self) -> str:
        if self._settled_table:
            return self._settled_table
        return hashlib.sha256(self._lives.tobytes()).hexdigest()[:16] if self._lives.all() else ""

    @property
    def is_complete(self) -> bool:
        """Whether each worker was heard of, and lately, and the chief's hello."""
        self._at[self._index] = time.monotonic()
        is_recent = bool((self._at > time.monotonic() - SUPPOSED_GONE_S).all())
        return is_recent and bool(self._table) and (self.chief is not None or self._index == 0)

    def settle(self) -> None:
        """Says that this worker has met all; from now on no other processes count."""
        self._settled, self._settled_table = True, self._table
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
        """For every other worker that was heard of, the seconds since its newest word; 0 if nobody misses it."""
        now = time.monotonic()
        others = [worker for worker in np.flatnonzero(self._lives).tolist() if worker != self._index]
        if not self.all_met:
            return {worker: float(now - self._at[worker]) for worker in others}
        return dict.fromkeys(others, 0.0) | self._rumours.silent(now)


def _place(told: Mapping[str, Any]) -> tuple[int, bool]:
    """How far a worker has come; of those that are as far, who is late comes first."""
    arrived = told["status"].get("arrived")
    return arrived if type(arrived) is int else MOST, told["status"].get("late") is not True


def _hashed(life: str) -> int:
    return zlib.crc32(life.encode(errors="replace")) or 1
