"""The hellos of other workers, of which only those with the parts of one's own are workers'."""

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.workers.words import Word, shaped_like


class Hellos:
    """Looks at the hellos in the words of other workers, once at each word."""

    def __init__(self) -> None:
        self._looked_at: dict[int, tuple[Word, bool]] = {}  # the last word of each worker, and whether it is good

    def like(self, own: Mapping[str, Any], words: Iterable[Word]) -> dict[int, dict[str, Any]]:
        """The hellos in these words that have the parts of one's own, by worker."""
        return {word.worker: dict(word.hello) for word in words if word.hello and self._is_like(word, own)}

    def _is_like(self, word: Word, own: Mapping[str, Any]) -> bool:
        looked_at, answer = self._looked_at.get(word.worker, (None, False))
        if looked_at is not word:
            answer = same_parts(word.hello or {}, own)
            self._looked_at[word.worker] = word, answer
        return answer


def same_parts(hello: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Whether a hello has the keys of one's own, with values of the same types, of which those in both agree in theirs.

    Workers of other versions may have other flags; the reader of the hellos tells them so.
    """
    if not shaped_like(hello, own):
        return False
    inner = [(hello[key], own[key]) for key in own if isinstance(own[key], dict)]
    return all(type(theirs[key]) is type(mine[key]) for theirs, mine in inner for key in theirs.keys() & mine.keys())
