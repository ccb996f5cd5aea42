"""Flags: one for every field of Config, and those of the commands that read a run."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from pipeline import models, sources, tracking  # their registries of names: no TensorFlow is imported here
from pipeline.config import Config
from pipeline.runs import settings
from pipeline.text.flag_values import NORMALIZATIONS

_DEFINE: dict[type, Callable] = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}


def define() -> None:
    """Defines an absl flag for every field of Config."""
    for field in dataclasses.fields(Config):
        _define_flag(field, field.default, _help(field))


def _define_flag(field: dataclasses.Field, default: Any, help_text: str) -> None:
    _DEFINE[type(field.default)](field.name, default, help_text)


def _help(field: dataclasses.Field) -> str:
    """A field's help, with the values that it may have."""
    known = {
        "{models}": " | ".join(models.REGISTRY),
        "{normalizations}": ", ".join(NORMALIZATIONS),
        "{trackers}": ", ".join(tracking.TRACKERS),
        "{sources}": " | ".join(name + kind.form for name, kind in sources.KINDS.items()),
    }
    text = field.metadata["help"]
    for placeholder, names in known.items():
        text = text.replace(placeholder, names)
    choices = field.metadata["choices"]
    return f"{text} One of {', '.join(choices)}." if choices else text


def define_fields(names: Sequence[str]) -> None:
    """Defines the flags of these fields alone, with the defaults of a training."""
    for name in names:
        field = Config.__dataclass_fields__[name]
        _define_flag(field, field.default, _help(field))


def topic(name: str, otherwise: str) -> str:
    """The topic of a flag in --help; `otherwise` for a flag that is not in Config."""
    field = Config.__dataclass_fields__.get(name)
    return field.metadata["topic"] if field else otherwise


def value(name: str) -> Any:
    """The value of a parsed flag."""
    return flags.FLAGS[name].value


def given() -> dict[str, str]:
    """The fields that the command line and its flagfiles set, each as the argument that sets it again."""
    names = [field.name for field in dataclasses.fields(Config) if flags.FLAGS[field.name].present]
    return {name: flags.FLAGS[name].serialize() for name in names}


def define_for_readers(*fields: str) -> None:
    """Defines the flags of a command that reads a run: the run, and these fields."""
    flags.DEFINE_string("run_dir", "", "The directory of the run.")
    flags.DEFINE_string("checkpoint", "latest", "latest, best (on validation, see --best_by), or a step.")
    for field in dataclasses.fields(Config):
        if field.name in fields:
            as_recorded = "" if field.name in settings.READERS_OWN else " Default: as the run was trained."
            _define_flag(field, None, _help(field) + as_recorded)


def define_parameters() -> None:
    """Defines the flag of a command that computes with a run's parameters."""
    help_text = "ema: the moving averages of --ema; raw: the parameters themselves (default: ema where the run has it)."
    flags.DEFINE_enum("parameters", None, ["ema", "raw"], help_text)


def execution() -> dict[str, Any]:
    """The fields that a reading command takes from its flags, not from the run: the devices, and all given fields.

    Raises UsageError for a value that breaks a rule.
    """
    defined = [name for name in (*settings.COMPUTING, *settings.SPLIT, *settings.METRICS) if name in flags.FLAGS]
    return settings.for_reading({name: value(name) for name in defined if value(name) is not None})


def asked() -> Config:
    """The configuration of the parsed flags, neither resolved nor validated."""
    return settings.normalized(Config(**{field.name: value(field.name) for field in dataclasses.fields(Config)}))


def configuration() -> Config:
    """The configuration of the parsed flags, validated, with the default of --run_dir filled in."""
    return settings.completed(asked())
