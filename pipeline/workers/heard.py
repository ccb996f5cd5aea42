"""The newest word of each other worker, of those of its process that counts."""

import collections
import dataclasses
import time

from pipeline.workers.hearsay import STARTED_ANEW
from pipeline.workers.words import Farewell, Word

PAST_LIVES = 1000  # of processes that others replaced, which are remembered so that nothing of them is taken again


class Heard:
    """What other workers said themselves. It has no lock."""

    def __init__(self, life: str):
        """life: of this process."""
        self._life = life
        self.words: dict[int, Word] = {}
        self._at: dict[int, float] = {}  # when, on this process's monotonic clock
        self._past: collections.deque[str] = collections.deque(maxlen=PAST_LIVES)

    def note(self, word: Word, met: bool) -> bool:
        """Notes a word; returns whether it counts. met: whether this worker has met the others."""
        before = self.words.get(word.worker)
        if met and word.hears != self._life:
            return False  # it means the process before this one: a cut link may have kept an earlier life from its end
        if word.life in self._past or (before and before.life == word.life and word.number <= before.number):
            return False  # it was overtaken, or someone says once more what was said before
        if before and before.life != word.life:
            if met:
                word = dataclasses.replace(before, farewell=before.farewell or STARTED_ANEW)
            else:
                self._past.append(before.life)
        self.words[word.worker], self._at[word.worker] = word, time.monotonic()
        return True

    def end(self, worker: int) -> Farewell:
        """Notes that a worker was started anew; returns the farewell of its process before."""
        before = self.words.get(worker, Word(worker, "", 0, self._life, None, False, {}, None))
        told = before.farewell or STARTED_ANEW
        self.words[worker] = dataclasses.replace(before, hears=self._life, farewell=told)
        return told

    def silent(self) -> dict[int, float]:
        """For every worker that was heard, the seconds since it last was."""
        now = time.monotonic()
        return {index: now - heard for index, heard in sorted(self._at.items())}
