"""The common frame of all commands: it parses the flags, calls main, and ends with one line and an exit code."""

import errno
import functools
import logging
import os
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import absl.logging
from absl import app, flags

import pipeline
from pipeline import config as configuration
from pipeline.cli.flags import topic
from pipeline.config import Config
from pipeline.errors import PipelineError, StorageError, UsageError, shown
from pipeline.process import preemption, standard_error
from pipeline.process.exits import exit_with, without_teardown
from pipeline.text.spelling import did_you_mean, nearest

HELP = ("--help", "-help", "--helpfull", "--helpshort", "-h", "--?", "-?")
HELP_WIDTH = 100
_TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def run(
    main: Callable[..., None],
    define_flags: Callable[[], None],
    usage: str,
    positional: str = "",
    own_topic: str = "run",
) -> None:
    """Defines and parses the flags, calls main, and turns a PipelineError into its line and exit code.

    positional: the name of the arguments without dashes, which main gets as a list; "" if there are none.
    own_topic: the topic in --help of the flags that are not in Config.
    """
    standard_error.open_standard_descriptors()
    preemption.end_on_interrupt()
    absl.logging.get_absl_handler().setFormatter(_Formatter("%(levelname)s: %(message)s"))
    absl.logging.get_absl_handler().addFilter(_concerns_users)
    foreign = set(flags.FLAGS)
    define_flags()
    names = [name for name in flags.FLAGS if name not in foreign]

    def parse(argv: Sequence[str]) -> Callable[[], None]:
        if set(argv) & set(HELP):
            flags.FLAGS.mark_as_parsed()
            return functools.partial(print, help_text(usage, names, own_topic))
        if "--version" in argv:
            flags.FLAGS.mark_as_parsed()
            return functools.partial(print, f"pipeline {pipeline.__version__}")
        _check_current_directory()
        rest = _parsed(argv, names)
        if rest and not positional:
            raise _no_flag(rest[0], names, usage)
        return functools.partial(main, rest) if positional else main

    with without_teardown():
        try:
            app.run(_to_stdout, flags_parser=parse)
        except PipelineError as error:
            exit_with(error)


class _Formatter(logging.Formatter):
    """Shows what is not printable as escapes."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


def _concerns_users(record: logging.LogRecord) -> bool:
    """Whether a record is a warning of this package, or an error. Users do not see the remarks of libraries."""
    own = Path(record.pathname).is_relative_to(Path(__file__).parents[1])
    return record.levelno >= (logging.WARNING if own else logging.ERROR)


def _check_current_directory() -> None:
    """Raises UsageError where the current directory was removed: modules and relative paths are looked for there."""
    try:
        os.getcwd()
    except OSError as error:
        raise UsageError(f"the current directory is gone ({error.strerror}); change to one that is there") from None


def _parsed(argv: Sequence[str], names: Collection[str]) -> list[str]:
    """The arguments that are no flags. names: our flags. Raises UsageError for a flag that cannot be read."""
    if "--flagfile=" in argv:
        raise UsageError("--flagfile= names no file; write it as --flagfile=FILE")
    try:
        return flags.FLAGS(argv)[1:]
    except flags.UnrecognizedFlagError as error:
        raise _unknown_flag(error.flagname, names) from None
    except flags.CantOpenFlagFileError as error:
        reason = str(error).rpartition("] ")[2]
        raise UsageError(f"a flagfile cannot be opened ({reason}); check the path after --flagfile=") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"a flagfile is not text ({error}); give a file of flags, one a line") from None
    except flags.Error as error:
        raise _wrong_value(str(error)) from None
    except ValueError as error:  # absl's, of --noNAME=VALUE
        raise UsageError(f"{error}; write --NAME=true or --NAME=false") from None


def _unknown_flag(name: str, names: Collection[str]) -> UsageError:
    if name != name.strip():
        return UsageError(f"'--{name}=' has a space before its =; write flags as --{name.strip()}=VALUE")
    hint = did_you_mean(name, names, prefix="--")
    if not hint and name in Config.__dataclass_fields__:
        return UsageError(f"--{name} is a flag of train, and none of this command; --help lists those that are")
    return UsageError(f"--{name} is not a flag; {hint}--help lists them")


def _no_flag(word: str, names: Collection[str], usage: str) -> UsageError:
    """The error for a word that is no flag, where only flags are taken."""
    name, equals, value = word.lstrip("-\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}").partition("=")
    hint = ""
    if equals and name.strip() in names:
        hint = f"did you mean --{name.strip()}={value.strip()}? "
    elif os.path.isdir(word) and "run_dir" in names:
        hint = f"did you mean --run_dir={word}? "
    return UsageError(f"'{word}' is not a flag; {hint}write flags as --name=value ({usage})")


def _wrong_value(message: str) -> UsageError:
    """The error for a value that absl could not read, from absl's own message."""
    match = re.match(r"flag --(\w+)=(.*?): ", message, re.DOTALL)
    if not match:  # a flag at the end, without a value
        return UsageError(f"{message}; write flags as --name=value, --help lists them")
    name, value = match.groups()
    flag = flags.FLAGS[name]
    if choices := getattr(flag.parser, "enum_values", None):
        return UsageError(f"{name}={value} is unknown{nearest(value, choices)}")
    if value.startswith("="):
        return UsageError(f"'--{name} {value}' has a space before its =; write it as --{name}{value}")
    if "#" in value:
        return UsageError(f"{name}={value} holds a comment; give it a line of its own in the flagfile")
    wanted = _TYPES.get(flag.flag_type(), "a value of this flag")
    field = Config.__dataclass_fields__.get(name)
    example = configuration.format_value(field.metadata["example"]) if field else _default(flag)
    return UsageError(f"{name}={value} is not {wanted}; write it as --{name}={example}")


def _to_stdout(action: Callable[[], None]) -> None:
    """Calls `action`, and ends quietly where the reader of stdout has gone, as in `| head`.

    Raises StorageError where stdout is a file on a full disk.
    """
    try:
        action()
        print(end="", flush=True)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC) or error.filename:
            raise
        # Text left in stdout's buffer would fail again as Python ends, and replace the exit code by 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.ENOSPC:
            raise StorageError("stdout cannot be written: no space is left; free some, or send it elsewhere") from None


def help_text(usage: str, names: Sequence[str], own_topic: str) -> str:
    """The text of --help: the usage line, and these flags by topic, each with its default."""
    topics: dict[str, list[str]] = {}
    for name in names:
        flag = flags.FLAGS[name]
        text = str(flag.help).partition(";\n")[0]  # without absl's addition to a flag that can be repeated
        line = textwrap.fill(text, HELP_WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)
        topics.setdefault(topic(name, own_topic), []).append(f"    --{name}={_default(flag)}\n{line}")
    parts = [f"usage: {usage}", "Flags may be kept in a file, one a line: --flagfile=FILE."]
    return "\n\n".join(parts + [f"{topic}\n" + "\n".join(lines) for topic, lines in topics.items()])


def _default(flag: flags.Flag) -> str:
    return (flag.default_as_str or "").strip("'[]")
