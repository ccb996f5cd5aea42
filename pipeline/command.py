"""What every entry point does around its main: flags in, one line and an exit code out."""

import os
import sys
import textwrap
from collections.abc import Callable, Sequence

from absl import app, flags

from pipeline import config, exits
from pipeline.exits import ExitCode, PipelineError, UsageError


HELP = ("--help", "-help", "--helpfull", "--helpshort", "-h")


def run(main: Callable[..., None], define_flags: Callable[[], None], usage: str, positional: str = "") -> None:
    """Defines and parses the flags, calls main, and turns a PipelineError into its line and exit code.

    positional: what arguments without dashes are ("" if there are none); main gets them as a list.
    """
    known = set(flags.FLAGS)
    define_flags()

    def parse(argv: Sequence[str]) -> list[str]:
        if set(argv) & set(HELP):
            print(help_text(usage, [name for name in flags.FLAGS if name not in known]))
            sys.exit(int(ExitCode.DONE))
        try:
            rest = flags.FLAGS(argv)[1:]
            if rest and not positional:
                raise UsageError(f"'{rest[0]}' is not a flag; write flags as --name=value ({usage})")
            return rest
        except flags.Error as error:
            exits.exit_with(UsageError(f"{error}; --help lists the flags"))
        except UsageError as error:
            exits.exit_with(error)
        raise AssertionError("exit_with returned")

    def guarded(rest: list[str]) -> None:
        try:
            main(rest) if positional else main()
        except PipelineError as error:
            exits.exit_with(error)

    app.run(guarded, flags_parser=parse)


def help_text(usage: str, names: Sequence[str]) -> str:
    """The usage line and these flags, by topic, each with its default."""
    topics: dict[str, list[str]] = {}
    for name in names:
        flag = flags.FLAGS[name]
        line = textwrap.fill(f"{flag.help}", 110, initial_indent=" " * 8, subsequent_indent=" " * 8)
        topics.setdefault(config.topic(name), []).append(f"    --{name}={flag.default}\n{line}")
    parts = [f"usage: {usage}", "Flags may be kept in a file, one a line: --flagfile=FILE."]
    return "\n\n".join(parts + [f"{topic}\n" + "\n".join(lines) for topic, lines in topics.items()])


def import_tensorflow(log_device_placement: bool = False) -> None:
    """Imports TensorFlow with its own log lines kept off stderr, unless they were asked for."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if log_device_placement else "3")
    # TensorFlow 2.21 writes some lines before it reads that level; while it is imported, stderr is set aside.
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
