"""The runs of a sweep or a repetition: every combination of the varied values, and every seed. Pure functions."""

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import config as configuration
from pipeline.config import OF_ONE_START, Config
from pipeline.errors import UsageError
from pipeline.text.spelling import did_you_mean

LONGEST_NAME = 120  # of a directory; file systems take 255 bytes


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a sweep or a repetition."""

    name: str  # its directory, below that of the sweep or repetition
    varied: Mapping[str, Any]  # the varied fields and their values, without the seed of a repetition
    config: Config  # with its run_dir


def parse(varies: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """['learning_rate=1e-4,1e-3'] -> {'learning_rate': (1e-4, 1e-3)}.

    If the text holds a semicolon, semicolons separate the values, which may then hold commas. Raises UsageError for a
    flag that does not exist or cannot be varied, a value of the wrong type, and a value that is given twice.
    """
    varied: dict[str, tuple[Any, ...]] = {}
    for vary in varies:
        name, equals, text = vary.partition("=")
        name = name.strip().removeprefix("--")
        _check_name(vary, name, bool(equals), known=varied)
        values = [_read(name, value.strip()) for value in text.split(";" if ";" in text else ",")]
        if twice := [value for i, value in enumerate(values) if value in values[:i]]:
            raise UsageError(f"vary={vary} gives {configuration.format_value(twice[0])} twice; give each value once")
        varied[name] = tuple(values)
    return varied


def _check_name(vary: str, name: str, has_values: bool, known: Mapping[str, Any]) -> None:
    fields = [field for field in Config.__dataclass_fields__ if field not in OF_ONE_START]
    if name in OF_ONE_START:
        raise UsageError(f"vary={vary}: {name} cannot be varied; vary another flag")
    if name not in fields:
        hint = did_you_mean(name, fields)
        raise UsageError(
            f"vary={vary}: {name or 'nothing'} is not a flag of train; {hint}write --vary=FLAG=VALUE,VALUE"
        )
    if not has_values:
        raise UsageError(f"vary={vary} has no values; write --vary={name}=VALUE,VALUE")
    if name in known:
        raise UsageError(f"vary={vary} varies {name} a second time; give all its values in one --vary")


def _read(name: str, text: str) -> Any:
    """The value of a field that a text means. Raises UsageError."""
    try:
        return configuration.parse_value(name, text)
    except ValueError:
        default = configuration.format_value(Config.__dataclass_fields__[name].default)
        raise UsageError(f"vary: {name}={text} cannot be read; write values as {name}={default}") from None


def combinations(base: Config, varied: Mapping[str, Sequence[Any]], directory: Path) -> list[Run]:
    """A run for every combination of the varied values, and with base.repeat for every seed.

    The last field varies fastest. Raises UsageError if both `varied` and base.repeat vary the seed.
    """
    if base.repeat > 1 and "seed" in varied:
        raise UsageError("--vary=seed and --repeat both vary the seed; give one of the two")
    runs = []
    for values in itertools.product(*varied.values()):
        point = dict(zip(varied, values, strict=True))
        name = _directory(point)
        config = dataclasses.replace(base, **point, run_dir=str(directory / name), mirror=_below(base.mirror, name))
        runs += [
            dataclasses.replace(run, varied=point, name=str(Path(run.config.run_dir).relative_to(directory)))
            for run in seeds(config)
        ]
    return runs


def seeds(config: Config) -> list[Run]:
    """A run for each of the seeds seed, seed + 1, ..., in directories seed-N; with repeat=1 the one run, unchanged.

    Neighbouring seeds share no random number: `keys.fold_in` hashes them.
    """
    if config.repeat == 1:
        return [Run(config.run_dir, {}, config)]
    return [_with_seed(config, seed) for seed in range(config.seed, config.seed + config.repeat)]


def _with_seed(config: Config, seed: int) -> Run:
    name = f"seed-{seed}"
    run_dir, mirror = str(Path(config.run_dir) / name), _below(config.mirror, name)
    return Run(name, {}, dataclasses.replace(config, seed=seed, repeat=1, run_dir=run_dir, mirror=mirror))


def _below(mirror: str, name: str) -> str:
    """The mirror of one run, below that of all; a run without a mirror has none."""
    return mirror and f"{mirror.rstrip('/')}/{name}"


def _directory(point: Mapping[str, Any]) -> str:
    """A directory's name, as 'learning_rate=0.001,optimizer=adam', with a hash if it was shortened or cleaned."""
    whole = ",".join(f"{name}={configuration.format_value(value)}" for name, value in point.items())
    plain = re.sub(r"[^\w.,=:+-]+", "_", whole)[:LONGEST_NAME]
    return plain if plain == whole else f"{plain}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
