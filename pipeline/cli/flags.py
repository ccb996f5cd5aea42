"""Flags: one of every field of Config, and those of the entry points that read a run."""

import dataclasses
from collections.abc import Callable
from typing import Any

from absl import flags

from pipeline import models, sources  # their registries of names: no TensorFlow is imported here
from pipeline.config import Config
from pipeline.runs import settings
from pipeline.storage.files import expand

_DEFINE: dict[type, Callable] = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}


def define() -> None:
    """Makes one absl flag of every field."""
    for field in dataclasses.fields(Config):
        _define_flag(field, field.default, _help(field))


def _define_flag(field: dataclasses.Field, default: Any, help_text: str) -> None:
    _DEFINE[type(field.default)](field.name, default, help_text)


def _help(field: dataclasses.Field) -> str:
    """A field's help, with what it may be."""
    known = {
        "{models}": " | ".join(models.REGISTRY),
        "{sources}": " | ".join(name + kind.form for name, kind in sources.KINDS.items()),
    }
    text = field.metadata["help"]
    for placeholder, names in known.items():
        text = text.replace(placeholder, names)
    choices = field.metadata["choices"]
    return f"{text} One of {', '.join(choices)}." if choices else text


def topic(name: str, otherwise: str) -> str:
    """What a flag is about, for --help; `otherwise` if it is of an entry point's own."""
    field = Config.__dataclass_fields__.get(name)
    return field.metadata["topic"] if field else otherwise


def value(name: str) -> Any:
    """The value of a parsed flag."""
    return flags.FLAGS[name].value


def given() -> dict[str, str]:
    """The fields that the command line and its flagfiles gave, each as one argument that gives it again."""
    names = [field.name for field in dataclasses.fields(Config) if flags.FLAGS[field.name].present]
    return {name: flags.FLAGS[name].serialize() for name in names}


_READERS_FIELDS = ("towers", "tower_devices", "data_dir", "eval_batch")
_READERS_OWN = {"towers": 0, "tower_devices": ""}  # never the run's: its devices are another machine's, often enough


def define_for_readers(computes: bool) -> None:
    """The flags of the entry points that read a run: which, and for those that compute, on what."""
    flags.DEFINE_string("run_dir", "", "The directory of the run.")
    flags.DEFINE_string("checkpoint", "latest", "latest, best (by accuracy on validation), or a step.")
    for field in dataclasses.fields(Config):
        if computes and field.name in _READERS_FIELDS:
            as_recorded = "" if field.name in _READERS_OWN else " Default: as the run was trained."
            _define_flag(field, None, _help(field) + as_recorded)


def execution() -> dict[str, Any]:
    """The fields that a reading entry point takes from its flags, not from the run: its devices, and what was given.

    Raises UsageError for a value that breaks a rule.
    """
    execution: dict[str, Any] = {**_READERS_OWN, **{n: value(n) for n in _READERS_FIELDS if value(n) is not None}}
    Config(**execution).validate()
    return execution


def asked() -> Config:
    """The configuration that the parsed flags give, as it stands there."""
    config = Config(**{field.name: value(field.name) for field in dataclasses.fields(Config)})
    source = "fake" if config.fake_data else sources.normalized(config.source)
    return dataclasses.replace(config, source=source, fake_data=False)


def configuration() -> Config:
    """The configuration that the parsed flags give, resolved as far as flags alone can, and valid."""
    config = asked()
    settings.check(config)
    # The shell leaves the ~ in --run_dir=~/runs to us.
    run_dir = expand(str(config.run_dir or config.default_run_dir()), "run_dir")
    return dataclasses.replace(config, run_dir=run_dir)
