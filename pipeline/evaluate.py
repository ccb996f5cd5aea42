"""Entry point: python -m pipeline.evaluate --run_dir=R. Scores a checkpoint on a split, every example once."""

import json

from absl.flags import DEFINE_enum

from pipeline import command, flags
from pipeline.run_directory import RunDirectory


def define_flags() -> None:
    flags.define_for_readers(computes=True)
    DEFINE_enum("split", "test", ["test", "validation", "train"], "The examples to score.")


def main() -> None:
    """Prints a line for people, and last the same as JSON."""
    execution, split = flags.execution(), flags.value("split")
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
