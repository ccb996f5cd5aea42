"""Entry point: python -m pipeline.report --run_dir=R [R2 ...]. Writes an HTML page on a run, or compares several."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl.flags import DEFINE_boolean, DEFINE_enum, DEFINE_string

from pipeline.cli import command, flags
from pipeline.errors import PipelineError, UsageError
from pipeline.process.startup import import_tensorflow
from pipeline.runs import settings
from pipeline.runs.run_directory import RunDirectory
from pipeline.storage.files import expand, replacing, storage_errors
from pipeline.storage.reading import read_small

if TYPE_CHECKING:
    from pipeline.reporting.scored import Scored

NAME = "report.html"


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.define_for_readers(*settings.COMPUTING, *settings.SPLIT, *settings.METRICS)
    DEFINE_string("output", "", f"The file of the page (default: {NAME}, in the directory of a single run, else here).")
    DEFINE_enum("split", "test", ["test", "validation", "train"], "The examples of the confusion matrix.")
    DEFINE_boolean("score", True, "Score the checkpoint, for the confusion matrix and the wrong examples.")


def main(more: list[str]) -> None:
    """Writes the page. Prints its path, and a line for each part that had to be left out."""
    execution = flags.execution()
    named = [flags.value("run_dir")] if flags.value("run_dir") or not more else []
    directories = [RunDirectory.existing(path) for path in [*named, *more]]
    which = flags.value("checkpoint")
    if which not in ("latest", "best") and not which.isdecimal():
        raise UsageError(f"checkpoint={which} is unknown; use latest, best or a step")
    output = _output(directories)
    import_tensorflow()
    from pipeline.reporting import page
    from pipeline.reporting.comparison import labels
    from pipeline.reporting.views import RunView
    from pipeline.runs.record import RunRecord

    records = [record for d in directories if (record := RunRecord.read(d.path))]
    # One process has one number of threads. Where a run had another number, the last digit of a loss may differ.
    execution = {"intra_op_threads": records[0].config.intra_op_threads, **execution}
    runs = []
    for number, (record, label) in enumerate(zip(records, labels([d.path for d in directories]), strict=True)):
        scored, left_out = _scored(record.directory, execution)
        runs.append(RunView(label, number, record, scored, left_out, _placement(record.directory)))
        for line in left_out:
            print(f"{label}: left out: {line}")
    with storage_errors(output), replacing(output) as new:
        new.write_text(page.render(runs), encoding="utf-8")
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB; open it in a browser, or mail it")


def _output(directories: list[RunDirectory]) -> Path:
    """The file of the page. Raises UsageError if it cannot be a file."""
    asked = flags.value("output")
    if not asked:
        return directories[0].path / NAME if len(directories) == 1 else Path(NAME)
    output = Path(expand(asked, "output"))
    if output.is_dir():
        raise UsageError(f"output={asked} is a directory; name a file in it, as --output={output / NAME}")
    if not output.parent.is_dir():
        raise UsageError(f"output={asked} lies in {output.parent}, which is no directory; make it first")
    return output


def _scored(directory: RunDirectory, execution: Mapping[str, Any]) -> tuple["Scored | None", tuple[str, ...]]:
    """The scores of the checkpoint on the split; without them, a line with the reason."""
    if not flags.value("score"):
        return None, ()
    from pipeline.reporting import scored

    try:
        return scored.score(directory, flags.value("checkpoint"), flags.value("split"), execution), ()
    except PipelineError as error:
        return None, (f"confusion matrix and wrong examples: {error}",)


def _placement(directory: RunDirectory) -> str | None:
    try:
        return read_small(directory.placement).decode(errors="replace")
    except OSError:
        return None


def run() -> None:
    """The console command."""
    usage = "python -m pipeline.report --run_dir=R [flags] [R2 ...]"
    command.run(main, define_flags, usage=usage, positional="RUN_DIR", own_topic="report")


if __name__ == "__main__":
    run()
