"""Who of many workers is silent, once all have met: told by those that should hear it, and by nobody while all is well.

As in SWIM (Das, Gupta & Motivala 2002). A worker that misses a neighbour's words tells the number of the last one. All
pass that on, and whoever has heard a later word of that neighbour tells its number instead; the later word counts. A
rumour ends by itself once no neighbour of its worker repeats it, so no two can keep it up between them. PURE.
"""

from collections.abc import Iterable
from typing import NamedTuple

from pipeline.workers import fingers
from pipeline.workers.news import MOST_RUMOURS, Rumour

WATCHED_S = 3.0  # without a word of a neighbour, after which this is told


class _Held(NamedTuple):
    """A rumour as it is known here; times are of this process's clock."""

    number: int  # of the newest word of its worker that is known
    is_silent: bool  # of two of one number, that one counts
    since: float  # when that word came
    told: float  # when a neighbour of the worker last said so


class Rumours:
    """What one worker knows of who is silent. `now`: seconds on this process's monotonic clock."""

    def __init__(self, index: int, count: int):
        self._index, self._count, self._near = index, count, frozenset(fingers.neighbours(index, count))
        self._heard: dict[int, tuple[int, float]] = {}  # the number of each neighbour's newest word, and when it came
        self._held: dict[int, _Held] = {}
        self._told_at = self._awake_since = float("-inf")
        self._kept_s = 2 * fingers.delay_s(count)
        self._longest_s = WATCHED_S + fingers.PULSE_S + fingers.delay_s(count)  # of silence, when a rumour comes

    def hear(self, worker: int, number: int, now: float) -> None:
        """Notes a worker's own word."""
        if worker in self._near:
            self._heard[worker] = max(number, self._heard.get(worker, (0, 0.0))[0]), now
        held = self._held.get(worker)
        if held and held.is_silent and number > held.number:
            self._held[worker] = _Held(number, False, now, now)

    def take(self, rumours: Iterable[Rumour], now: float) -> None:
        """Notes what another worker tells."""
        for rumour in rumours:
            if rumour.worker != self._index and rumour.told_s <= self._kept_s:
                self._take(rumour, now)

    def _take(self, rumour: Rumour, now: float) -> None:
        worker, is_silent = rumour.worker, rumour.silent_s > 0
        came = now - min(rumour.silent_s, self._longest_s)  # who tells it may have been stopped itself meanwhile
        if worker in self._heard:
            number, at = self._heard[worker]
            if rumour.number < number:
                if is_silent:
                    self._held[worker] = _Held(number, now - at > WATCHED_S, at, now)
                return
            if rumour.number > number:
                self._heard[worker] = rumour.number, max(at, came)
        held, rank, told = self._held.get(worker), (rumour.number, is_silent), now - rumour.told_s
        if held is None or rank > held[:2]:
            self._held[worker] = _Held(*rank, came, told)
        elif rank == held[:2] and told > held.told:
            self._held[worker] = _Held(*rank, held.since, told)

    def told(self, now: float) -> tuple[Rumour, ...]:
        """What to tell with this pulse: the silent first, and what was last confirmed."""
        self._look(now)
        self._held = {worker: held for worker, held in self._held.items() if now - held.told <= self._kept_s}
        order = sorted(self._held.items(), key=lambda item: (not item[1].is_silent, -item[1].told))
        return tuple(
            Rumour(worker, held.number, now - held.since if held.is_silent else 0.0, now - held.told)
            for worker, held in order[:MOST_RUMOURS]
        )

    def _look(self, now: float) -> None:
        """Looks who of the neighbours is silent, and who is not after all.

        After a pause of its own a worker listens first: it cannot say of others that they were silent meanwhile.
        """
        if now - self._told_at > WATCHED_S:
            self._awake_since = now
        self._told_at = now
        for worker, (number, at) in self._heard.items():
            held = self._held.get(worker)
            if now - max(at, self._awake_since) > WATCHED_S:
                self._held[worker] = _Held(number, True, at, now)
            elif held and held.number < number:
                self._held[worker] = _Held(number, False, at, held.told)

    def is_silent(self, worker: int, now: float) -> bool:
        """Whether a worker is silent, as far as is known here."""
        if worker in self._heard and now - self._heard[worker][1] <= WATCHED_S:
            return False
        held = self._held.get(worker)
        return worker in self._heard or (held is not None and held.is_silent)

    def silent(self, now: float) -> dict[int, float]:
        """The seconds since the last word of each neighbour, of all who are silent, and of all whom these cut off."""
        lost = {worker: now - held.since for worker, held in self._held.items() if held.is_silent}
        cut = fingers.cut_off(self._index, self._count, lost.keys())
        near = {worker: now - at for worker, (_, at) in self._heard.items()}
        return {**dict.fromkeys(cut, min(lost.values(), default=0.0)), **lost, **near}
