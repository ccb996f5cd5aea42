"""Lists of hosts and of counts in the short forms of Slurm: PURE."""

import itertools
import math
import re

from pipeline.errors import UsageError

MOST_HOSTS = 4096
_ITEM = r"(?:[^\s,\[\]]|\[[^\s\[\]]+\])+"
_HOW = "write it as Slurm does, as n[08-10,12],gpu1"


def hosts(text: str) -> list[str]:
    """'n[08-10,2],gpu1' -> ['n08', 'n09', 'n10', 'n2', 'gpu1']: in the order of the list, and ranges by number.

    A bracket with a colon is an IPv6 address and stays as it is. Raises UsageError.
    """
    return [host for item in _items(text) for host in _expanded(item, text)]


def counts(text: str) -> list[int]:
    """'2(x3),1' -> [2, 2, 2, 1]. Raises UsageError."""
    found: list[int] = []
    for item in text.split(","):
        match = re.fullmatch(r"(\d{1,5})(?:\(x(\d{1,5})\))?", item)
        if not match:
            raise UsageError(f"the list of tasks per node '{text}' does not parse at '{item}'; it should be as 2(x3),1")
        found += [int(match[1])] * int(match[2] or 1)
    return found


def _items(text: str) -> list[str]:
    """The list's parts: it is cut at the commas outside of brackets."""
    closed = re.sub(r"\s*,\s*", ",", text.strip())
    if not re.fullmatch(f"{_ITEM}(?:,{_ITEM})*", closed):
        raise UsageError(f"the host list '{text}' does not parse; {_HOW}")
    return re.findall(_ITEM, closed)


def _expanded(item: str, text: str) -> list[str]:
    """One part's hosts: every combination of the numbers in its brackets."""
    parts = re.split(r"(\[[^\[\]]*\])", item)
    choices = [_numbers(part, text) if part[:1] == "[" and ":" not in part else [part] for part in parts]
    if math.prod(map(len, choices)) > MOST_HOSTS:
        raise UsageError(f"the host list '{text}' names more than {MOST_HOSTS} hosts; {_HOW}")
    return ["".join(combination) for combination in itertools.product(*choices)]


def _numbers(bracket: str, text: str) -> list[str]:
    """'[08-10,2]' -> ['08', '09', '10', '2']."""
    found: list[str] = []
    for span in bracket[1:-1].split(","):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", span)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not match or not 0 <= last - first < MOST_HOSTS:
            raise UsageError(f"the host list '{text}' does not parse at '{bracket}'; {_HOW}")
        found += [str(number).zfill(len(match[1])) for number in range(first, last + 1)]
    return found
