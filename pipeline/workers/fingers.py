"""Which workers of a job send each other words, and bytes in pairs. PURE.

Few send them to all others. Many send them to those at distances of 1, 2, 4, ... on a ring, as the fingers of Chord lie
(Stoica et al. 2001), and pass on what they hear: see hearsay.py.
"""

from collections.abc import Collection

PULSE_S = 1.0  # between two words of a worker, once all have met
ALL_TO_ALL = 32  # workers at most that send their words to all others
TO_CHIEF_A_PULSE = 32  # of many workers, so many send a pulse to the chief as well, in turn


def neighbours(index: int, count: int) -> tuple[int, ...]:
    """The workers with whom this one exchanges words, rising; each is one of theirs, too."""
    if count <= ALL_TO_ALL:
        return tuple(worker for worker in range(count) if worker != index)
    distances = [1 << bit for bit in range((count // 2).bit_length())]
    return tuple(sorted({(index + way * distance) % count for distance in distances for way in (1, -1)}))


def partners(index: int, count: int) -> list[int]:
    """The worker with whom this one exchanges all that it knows, round by round. Afterwards all know everything.

    Each worker beyond the largest power of two speaks to one below it alone, first and last.
    """
    core = 1 << (count.bit_length() - 1)
    if index >= core:
        return [index - core] * 2
    outer = [index + core] if index + core < count else []
    return [*outer, *(index ^ (1 << bit) for bit in range(core.bit_length() - 1)), *outer]


def contacts(index: int, count: int) -> tuple[int, ...]:
    """The workers that this one asks in a preflight: its neighbours, the chief, and its partners in pairs; rising."""
    others = {0, *neighbours(index, count), *partners(index, count)}
    return tuple(sorted(others - {index}))


def hops(count: int) -> int:
    """The pulses after which news has reached all workers, at most, while all live."""
    return 1 if count <= ALL_TO_ALL else (count - 1).bit_length()


def delay_s(count: int) -> float:
    """Seconds after which news has reached all workers, and two more pulses."""
    return PULSE_S * (hops(count) + 2)


def cut_off(index: int, count: int, lost: Collection[int]) -> set[int]:
    """The workers that this one cannot reach since others are lost; these are not among them."""
    if 3 * len(lost) < 2 * len(neighbours(index, count)):
        return set()  # it takes as many, where all workers have equal places (Watkins 1970)
    reached, edge = {index, *lost}, [index]
    while edge:
        edge = list({near for one in edge for near in neighbours(one, count)} - reached)
        reached |= {*edge}
    return {*range(count)} - reached


def tells_chief(index: int, count: int, number: int) -> bool:
    """Whether a worker sends its pulse of this number to the chief, where that is no neighbour."""
    every = -(-count // TO_CHIEF_A_PULSE)
    return index != 0 and 0 not in neighbours(index, count) and (number - index) % every == 0
