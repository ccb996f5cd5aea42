"""Which workers of a job send each other words. PURE.

Few send them to all others. Many send them to those at distances of 1, 2, 4, ... on a ring, as the fingers of Chord lie
(Stoica et al. 2001), and pass on what they hear: see hearsay.py.
"""

ALL_TO_ALL = 32  # workers at most that send their words to all others
TO_CHIEF_A_PULSE = 32  # of many workers, so many send a pulse to the chief as well, in turn


def neighbours(index: int, count: int) -> tuple[int, ...]:
    """The workers with whom this one exchanges words, rising; each is one of theirs, too."""
    if count <= ALL_TO_ALL:
        return tuple(worker for worker in range(count) if worker != index)
    distances = [1 << bit for bit in range((count // 2).bit_length())]
    return tuple(sorted({(index + way * distance) % count for distance in distances for way in (1, -1)}))


def hops(count: int) -> int:
    """The pulses after which news has reached all workers, at most, while all live."""
    return 1 if count <= ALL_TO_ALL else (count - 1).bit_length()


def tells_chief(index: int, count: int, number: int) -> bool:
    """Whether a worker sends its pulse of this number to the chief, where that is no neighbour."""
    every = -(-count // TO_CHIEF_A_PULSE)
    return index != 0 and 0 not in neighbours(index, count) and (number - index) % every == 0
