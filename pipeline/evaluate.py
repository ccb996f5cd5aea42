"""Entry point: python -m pipeline.evaluate --run_dir=R. Scores checkpoints on a split, every example once."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl.flags import DEFINE_boolean, DEFINE_enum, DEFINE_integer

from pipeline import command, flags
from pipeline.exits import UsageError
from pipeline.preemption import Preemption
from pipeline.run_directory import RunDirectory


def define_flags() -> None:
    flags.define_for_readers(computes=True)
    DEFINE_enum("split", "test", ["test", "validation", "train"], "The examples to score.")
    DEFINE_boolean("watch", False, "Score every checkpoint of a run as it appears, beside the training; end with it.")
    DEFINE_integer("timeout", 0, "--watch: seconds to wait for the next checkpoint (0: for ever).", lower_bound=0)


def main() -> None:
    """Scores one checkpoint, or with --watch all of them."""
    execution, split = flags.execution(), flags.value("split")
    if flags.value("watch"):
        watch_run(execution, split)
    else:
        score_one(execution, split)


def watch_run(execution: Mapping[str, Any], split: str) -> None:
    """Prints a line for each checkpoint, and last what was told of the last one as JSON."""
    if flags.value("checkpoint") != "latest":
        raise UsageError("--watch scores every checkpoint; leave out --checkpoint, or --watch")
    if not flags.value("run_dir"):
        raise UsageError("--watch needs --run_dir=R, the directory that a training has or will have")
    run = RunDirectory(Path(os.path.expanduser(flags.value("run_dir"))))
    with Preemption.listening() as stop:
        command.import_tensorflow()
        from pipeline.watch import watch

        watch(run, split, execution, flags.value("timeout"), stop)


def score_one(execution: Mapping[str, Any], split: str) -> None:
    """Prints a line for people, and last the same as JSON."""
    directory = RunDirectory.existing(flags.value("run_dir"))
    command.import_tensorflow()
    from pipeline.evaluation import Evaluator
    from pipeline.saved_run import SavedRun, check_examples

    saved = SavedRun(directory)
    restored = saved.restore(flags.value("checkpoint"))
    assembly, towers = saved.assemble(restored, execution)
    check_examples(assembly.spec, assembly.splits.spec)
    evaluator = Evaluator(assembly.model, towers, assembly.config.eval_batch)
    scores = evaluator(getattr(assembly.splits, split))
    assert scores is not None  # nothing here stops it
    step = restored.manifest.step
    print(f"{split} at step {step}: accuracy {scores.accuracy:.2%}, loss {scores.loss:.4f}, {scores.examples} examples")
    print(json.dumps({"event": split, "step": step, **scores._asdict()}))


def run() -> None:
    """The console command."""
    command.run(main, define_flags, usage="python -m pipeline.evaluate --run_dir=R [flags]")


if __name__ == "__main__":
    run()
