"""What must be equal on all workers of a job, and how a difference is told."""

from collections.abc import Mapping
from typing import Any

from pipeline.config import ALIKE, Config
from pipeline.workers.versions import REMEDIES, versions

Terms = dict[str, dict[str, Any]]  # "flags" and "versions", each by name


def terms(asked: Config, num_towers: int) -> Terms:
    """The terms of a worker of this configuration with so many towers."""
    return {"flags": flags(asked), "versions": {**versions(), "towers": num_towers}}


def flags(config: Config) -> dict[str, Any]:
    """The flags that all workers must have alike."""
    return {**config.mathematics(), **{name: getattr(config, name) for name in ALIKE}}


def difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The first kind of terms that differ, with each difference and the remedies; '' if all are equal."""
    for what in mine:
        own, other = mine[what], theirs.get(what, {})
        different = [name for name in own if own[name] != other.get(name)]
        if different:
            pairs = "; ".join(f"{name} {_or_none(own[name])} and {_or_none(other.get(name))}" for name in different)
            remedy = "; ".join(dict.fromkeys(REMEDIES.get(name, "make them equal") for name in different))
            return f"were started with different {what}: {pairs}; {remedy}"
    return ""


def _or_none(value: object) -> object:
    return "none" if value == "" else value
