"""Flags as arguments of a function: their values as the configuration takes them, and the function's signature."""

import dataclasses
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

from pipeline import config as configuration
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.runs import settings
from pipeline.text.spelling import did_you_mean

Value = str | bool | int | float | os.PathLike[str]

_KINDS = {int: "a whole number", float: "a number", bool: "True or False"}
# Fields of which a call has no use, and what to do instead.
_OF_COMMANDS = {
    "dry_run": "it trains nothing; try it as python -m pipeline.train --dry_run",
    "repeat": "it makes several runs; call train once for each seed",
}


def settled(given: Mapping[str, Any]) -> Config:
    """The configuration that these arguments ask for, checked as the command line's is. Raises UsageError."""
    for name, value in given.items():
        if name not in Config.__dataclass_fields__:
            hint = did_you_mean(name, Config.__dataclass_fields__)
            raise UsageError(f"{name} is not an argument of train; {hint}its arguments are the flags of pipeline.train")
        if name in _OF_COMMANDS and value != Config.__dataclass_fields__[name].default:
            raise UsageError(f"{name}={value} is of the command line alone: {_OF_COMMANDS[name]}")
    return settings.completed(Config(**{name: _value(name, value) for name, value in given.items()}))


def for_reading(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that replace a run's where it is evaluated, checked as the command line's are. Raises UsageError."""
    known = (*settings.SPLIT, *settings.METRICS, *settings.COMPUTING)
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(f"{name} is not an argument of evaluate; {hint}its flags are {', '.join(known)}")
    return settings.for_reading({name: _value(name, value) for name, value in given.items()})


def _value(name: str, value: Any) -> Any:
    """A field's value, of the field's type. Raises UsageError for one that its flag would not take."""
    kind: Any = type(Config.__dataclass_fields__[name].default)
    if isinstance(value, list | tuple | set | dict) or value is None:
        raise UsageError(f"{name}={value!r} is a {type(value).__name__}; write it as the flag takes it, in one string")
    try:
        text = os.fspath(value) if isinstance(value, os.PathLike) else configuration.format_value(value)
        return configuration.parse_value(name, text)
    except ValueError:
        example = Config.__dataclass_fields__[name].metadata["example"]
        raise UsageError(f"{name}={value!r} is not {_KINDS[kind]}; write it as {name}={example!r}") from None


def signature(returns: Any) -> inspect.Signature:
    """The signature with every field by name, for help() and for editors."""
    parameters = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=_kind(field))
        for field in dataclasses.fields(Config)
        if field.name not in _OF_COMMANDS
    ]
    return inspect.Signature(parameters, return_annotation=returns)


def _kind(field: dataclasses.Field) -> Any:
    return str | Callable if field.name == "model" else type(field.default)
