"""Entry point: python -m pipeline.sweep --vary=FLAG=VALUE,VALUE --sweep_dir=S [flags of train]. Trains a grid."""

import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from absl.flags import DEFINE_boolean, DEFINE_multi_string, DEFINE_string

from pipeline.cli import command, flags
from pipeline.errors import DivergedError, UsageError
from pipeline.experiments import grid, results, runner
from pipeline.experiments.grid import Run
from pipeline.experiments.results import RunResult
from pipeline.monitoring.history import DIVERGED, FINISHED
from pipeline.process.preemption import Preemption
from pipeline.runs.run_directory import tensorboard_command
from pipeline.storage.files import expand, replacing, storage_errors
from pipeline.workers.slurm import array_task

EXAMPLE = "--vary=learning_rate=1e-4,1e-3"


def define_flags() -> None:
    """Defines the flags of this command, and those of train."""
    DEFINE_multi_string(
        "vary",
        [],
        "FLAG=VALUE,VALUE,...: a flag of train and the values to try. Given several times, every combination is a run. "
        "Semicolons separate values that hold commas: --vary='augment=flip;shift:2,flip'.",
    )
    DEFINE_string(
        "sweep_dir",
        "",
        "The directory of the sweep: one directory for each run, named by its values, and results.jsonl. If the sweep "
        "is stopped, the same command goes on. `tensorboard --logdir` shows it, and so does pipeline.report.",
    )
    DEFINE_boolean(
        "array",
        False,
        "In a Slurm array: make only the run of SLURM_ARRAY_TASK_ID. Elsewhere: make no run; print the runs with their "
        "numbers, and the sbatch line for them.",
    )
    DEFINE_boolean("table", False, "Make no run; print the table of the present results, and write results.jsonl.")
    flags.define()


def main() -> None:
    """Makes the runs. Prints their table, the best first, and as the last line a summary in JSON."""
    with Preemption.listening() as preemption:
        directory = _sweep_dir()
        runs = _runs(directory)
        runner.check(runs)
        if flags.value("array"):
            _array(runs, preemption)
        elif flags.value("dry_run"):
            print(results.table([RunResult.read(run) for run in runs]))
        else:
            if not flags.value("table"):
                runner.run_all(runs, preemption)
            _conclude(directory, runs)


def _sweep_dir() -> Path:
    """The directory of --sweep_dir. Raises UsageError if it is missing, or if --run_dir is given too."""
    if not flags.value("sweep_dir"):
        raise UsageError(
            "sweep_dir= names no directory; give one for the runs of the sweep, as --sweep_dir=sweeps/first"
        )
    if flags.value("run_dir"):
        raise UsageError(
            f"run_dir={flags.value('run_dir')}: a sweep names its runs' directories; give --sweep_dir alone"
        )
    return Path(expand(flags.value("sweep_dir"), "sweep_dir"))


def _runs(directory: Path) -> list[Run]:
    """The runs of the sweep. Raises UsageError."""
    varied = grid.parse(flags.value("vary"))
    if not varied:
        raise UsageError(f"no --vary was given; name a flag and its values, as {EXAMPLE}")
    return grid.combinations(flags.asked(), varied, directory)


def _array(runs: Sequence[Run], preemption: Preemption) -> None:
    """Makes the run of this array task; outside of an array, lists all runs."""
    task = array_task()
    if task is not None:
        if task >= len(runs):
            raise UsageError(
                f"SLURM_ARRAY_TASK_ID={task} is beyond the {len(runs)} runs; use --array=0-{len(runs) - 1}"
            )
        runner.run_all([runs[task]], preemption)
        return
    for number, run in enumerate(runs):
        print(f"{number}  {run.name}  {RunResult.read(run).status}")
    line = shlex.join([sys.executable, "-m", "pipeline.sweep", *sys.argv[1:]])
    print(f"sbatch --array=0-{len(runs) - 1} --signal=B:TERM@60 --requeue --wrap={shlex.quote(f'exec {line}')}")


def _conclude(directory: Path, runs: Sequence[Run]) -> None:
    """Prints the tables, and writes results.jsonl in the order of the runs' ranks."""
    groups = results.ranked([RunResult.read(run) for run in runs])
    ended = [result for group in groups for result in group]
    lines = [json.dumps(dataclasses.asdict(result)) for result in ended]
    file = directory / "results.jsonl"
    with storage_errors(file):
        directory.mkdir(parents=True, exist_ok=True)
        with replacing(file) as new:
            new.write_text("".join(f"{line}\n" for line in lines))
    if not flags.value("quiet"):
        _print_tables(groups, file)
    count = {status: sum(result.status == status for result in ended) for status in (FINISHED, DIVERGED)}
    best = json.loads(lines[0]) if results.are_ranked(groups) else None
    print(json.dumps({"event": "sweep", "runs": len(ended), **count, "best": best}))
    if count[DIVERGED] == len(ended):
        raise DivergedError(f"all {len(ended)} runs; lower --learning_rate or set --clip_norm, in another --sweep_dir")


def _print_tables(groups: Sequence[Sequence[RunResult]], file: Path) -> None:
    """Prints the tables, the path of results.jsonl, and the command that shows the runs in TensorBoard."""
    ended = [result for group in groups for result in group]
    print(f"\n{results.table(ended)}\n")
    if len(groups) < len(ended):
        print(f"{results.table_of_groups(groups)}\n")
    if not results.are_ranked(groups):
        print("not ranked: no finished run was scored on validation; lower --eval_every")
    print(f"results: {file}\nlook at it: {tensorboard_command(file.parent)}")


def run() -> None:
    """The console command."""
    usage = f"python -m pipeline.sweep {EXAMPLE} --sweep_dir=S [flags of train]"
    command.run(main, define_flags, usage=usage, own_topic="sweep")


if __name__ == "__main__":
    run()
