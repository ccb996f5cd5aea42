"""Entry point: python -m pipeline.evaluate --run_dir=R. Scores checkpoints on a split; every example counts once."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl.flags import DEFINE_boolean, DEFINE_enum, DEFINE_integer

from pipeline.cli import command, flags
from pipeline.errors import UsageError
from pipeline.process.preemption import Preemption
from pipeline.process.startup import import_tensorflow
from pipeline.runs import settings
from pipeline.runs.run_directory import RunDirectory
from pipeline.storage.files import expand


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.define_parameters()
    flags.define_for_readers(*settings.COMPUTING, *settings.SPLIT, *settings.METRICS)
    DEFINE_enum("split", "test", ["test", "validation", "train"], "The examples to score.")
    DEFINE_boolean("watch", False, "Score every checkpoint of a run as it appears, until the training ends.")
    DEFINE_integer("timeout", 0, "--watch: seconds to wait for the next checkpoint (0: for ever).", lower_bound=0)


def main() -> None:
    """Scores one checkpoint or, with --watch, all of them."""
    execution, split = flags.execution(), flags.value("split")
    if flags.value("watch"):
        watch_run(execution, split)
    else:
        score_one(execution, split)


def watch_run(execution: Mapping[str, Any], split: str) -> None:
    """Prints a line for each checkpoint, and as the last line the JSON of the last one."""
    if flags.value("checkpoint") != "latest":
        raise UsageError("--watch scores every checkpoint; leave out --checkpoint, or --watch")
    if not flags.value("run_dir"):
        raise UsageError("--watch needs --run_dir=R, the directory that a training has or will have")
    run = RunDirectory(Path(expand(flags.value("run_dir"), "run_dir")))
    with Preemption.listening() as stop:
        import_tensorflow()
        from pipeline.serving.watch import watch

        watch(run, split, execution, flags.value("timeout"), stop, flags.value("parameters"))


def score_one(execution: Mapping[str, Any], split: str) -> None:
    """Prints the scores for people, and as the last line their JSON."""
    directory = RunDirectory.existing(flags.value("run_dir"))
    import_tensorflow()
    from pipeline.monitoring import scorecard
    from pipeline.runs.saved_run import SavedRun

    saved = SavedRun(directory, flags.value("parameters"))
    restored = saved.restore(flags.value("checkpoint"))
    assembly, towers = saved.assemble(restored, execution)
    tally = saved.tally(assembly, towers, split)
    step, class_names = restored.manifest.step, assembly.spec.class_names
    print("\n".join(scorecard.lines(split, step, tally, class_names)))
    if assembly.weighs:
        print(f"the loss is without the training's weights of {assembly.weighs}")
    print(json.dumps(scorecard.event(split, step, tally, class_names, execution.get("source"))))


def run() -> None:
    """The console command."""
    command.run(main, define_flags, usage="python -m pipeline.evaluate --run_dir=R [flags]")


if __name__ == "__main__":
    run()
