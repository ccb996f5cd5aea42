"""Entry point: python -m pipeline.inspect --run_dir=R. Lists the checkpoints of a run, and the contents of one."""

import time
from typing import TYPE_CHECKING

from absl.flags import DEFINE_boolean

from pipeline.cli import command, flags
from pipeline.errors import StorageError
from pipeline.process.startup import import_tensorflow
from pipeline.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    from pipeline.runs.saved_run import SavedRun


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.define_for_readers()
    DEFINE_boolean("verify", False, "Read every file of every checkpoint and compare its hash.")


def main() -> None:
    """Prints a table of checkpoints, one checkpoint's variables, and its hashes.

    Raises StorageError, after all that, if one is damaged.
    """
    directory = RunDirectory.existing(flags.value("run_dir"))
    import_tensorflow()
    from pipeline.engine import state
    from pipeline.runs.saved_run import SavedRun

    saved = SavedRun(directory, "raw")
    damaged = list_checkpoints(saved, flags.value("verify"))
    restored = saved.restore(flags.value("checkpoint"))
    print(f"\nckpt-{restored.manifest.step}")
    width = max(map(len, restored.values))
    for name, value in restored.values.items():
        print(f"  {name:<{width}}  {value.dtype.name:<8}  {list(value.shape)}")
    print(f"parameters_sha256 {state.parameters_sha256(restored.values)}")
    print(f"state_sha256      {state.state_sha256(restored.values, restored.manifest.step)}")
    if damaged:
        raise StorageError(f"damaged, and passed over by a resume: {'; '.join(damaged)}")


def list_checkpoints(saved: "SavedRun", verify: bool) -> list[str]:
    """Prints a line for each checkpoint; returns a line for each one that is damaged."""
    damaged = []
    best = saved.directory.history().best_step(saved.checkpoints.steps(), saved.config.best_by)
    print(f"{'step':>10}  {'bytes':>14}  saved                state")
    for step in saved.checkpoints.steps():
        try:
            manifest = saved.checkpoints.verify(step) if verify else saved.checkpoints.manifest(step)
            saved_at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.saved))
            state = ("verified" if verify else "not verified") + (", best" if step == best else "")
            print(f"{step:>10}  {manifest.num_bytes:>14,}  {saved_at}  {state}")
        except StorageError as error:
            damaged.append(str(error))
            print(f"{step:>10}  {'':>14}  {'':<19}  damaged: {error}")
    return damaged


def run() -> None:
    """The console command."""
    command.run(main, define_flags, usage="python -m pipeline.inspect --run_dir=R [flags]")


if __name__ == "__main__":
    run()
