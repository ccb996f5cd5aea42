"""Workers of a job of many that pass news on, pulse by pulse, without sockets and without waiting."""

import json
import random

from pipeline.workers import fingers, hearsay
from pipeline.workers.hearsay import Hearsay
from pipeline.workers.news import News


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Ring:
    """The workers. In each pulse all speak before anyone listens. The lost do neither, nor do the stopped."""

    def __init__(self, monkeypatch, count: int, drops: float = 0.0):
        """drops: the share of words that do not arrive."""
        self.clock, self.count = Clock(), count
        monkeypatch.setattr(hearsay, "time", self.clock)
        self.lives = [f"life {index}" for index in range(count)]
        self.all = {index: Hearsay(index, count, life) for index, life in enumerate(self.lives)}
        self.near = [fingers.neighbours(index, count) for index in range(count)]
        self.statuses = {index: {"arrived": 100, "late": False} for index in range(count)}
        self.all[0].chief = {"life": "life 0", "hello": {}}
        self.number, self.stopped = 0, set()
        self._drops, self._draws = drops, random.Random(count)

    def pulse(self, times: int = 1) -> None:
        for _ in range(times):
            self.number += 1
            awake = {k: one for k, one in self.all.items() if k not in self.stopped}
            said = {k: self.wire(one.news(self.number, self.statuses[k])) for k, one in awake.items()}
            for index, one in awake.items():
                for other in self.near[index]:
                    if other in said and self._draws.random() >= self._drops:
                        one.hear(other, self.lives[other], self.number, self.statuses[other])
                        one.take(said[other])
            self.clock.now += 1

    def wire(self, news: News) -> News:
        """The news as another worker reads it."""
        read = News.read(json.loads(json.dumps(news.value(self.count))), self.count)
        assert read is not None
        return read

    def meet(self) -> None:
        self.pulse(fingers.hops(self.count) + 2)
        assert all(one.is_complete for one in self.all.values())
        for one in self.all.values():
            one.settle()
        self.pulse(fingers.hops(self.count))
        assert all(one.all_met for one in self.all.values())

    def have_met(self) -> None:
        """The same, at once: all know what a meeting tells them."""
        first = self.all[0]
        for index in range(1, self.count):
            first.hear(index, self.lives[index], 0, self.statuses[index])
        for one in self.all.values():
            one._lives[:] = first._lives
            one.settle()
            one._met = (1 << self.count) - 1
        self.pulse()

    def kill(self, *workers: int) -> None:
        for worker in workers:
            del self.all[worker]

    def silent(self, longer_than: float = 3.0) -> set[frozenset[int]]:
        """The sets of workers that workers awake take for silent for so many seconds: one, if all agree."""
        seen = [one.silent() for index, one in self.all.items() if index not in self.stopped]
        return {frozenset(k for k, seconds in silent.items() if seconds > longer_than) for silent in seen}
