"""Makes runs one after another, each in its own process. Runs that are done already are passed over."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import errors
from pipeline.errors import ExitCode, PreemptedError, StorageError
from pipeline.experiments.grid import Run
from pipeline.monitoring.history import DIVERGED
from pipeline.process.children import die_with
from pipeline.process.environment import pulse_fd
from pipeline.process.preemption import Preemption
from pipeline.runs import settings
from pipeline.runs.record import RunRecord

POLL_S = 0.2


def check(runs: Sequence[Run]) -> None:
    """Raises UsageError for the first run whose values break a rule, or whose directory holds another run.

    Raises StorageError where the directory cannot be made.
    """
    for run in runs:
        settings.check(run.config)
        _check_place(Path(run.config.run_dir))
        record = RunRecord.read(Path(run.config.run_dir))
        if record:
            settings.continued(run.config, record.config)


def _check_place(directory: Path) -> None:
    nearest = next(path for path in [directory, *directory.parents] if path.exists())
    if not nearest.is_dir():
        raise StorageError(f"{directory} cannot be made: {nearest} is a file; choose another directory")


def is_done(run: Run) -> bool:
    """Whether a run is done: it reached its last step, or diverged and would do so again."""
    record = RunRecord.read(Path(run.config.run_dir))
    if record is None:
        return False
    return record.status == DIVERGED or record.history.finished(run.config.steps, run.config.early_stop)


def run_all(runs: Sequence[Run], preemption: Preemption) -> None:
    """Makes every run that is not done, in order. A run that diverges does not stop the others.

    Raises PreemptedError if a signal stops the series, or a PipelineError with the exit code of a run that failed.
    """
    for number, run in enumerate(runs, start=1):
        done = is_done(run)
        if not run.config.quiet:
            where = ": done already" if done else f", in {run.config.run_dir}"
            print(f"run {number} of {len(runs)}: {run.name}{where}", flush=True)
        if done:
            continue
        _stop_if_asked(preemption)
        code = run_process(run, preemption)
        _stop_if_asked(preemption)
        if code not in (ExitCode.DONE, ExitCode.DIVERGED):
            raise _error_of(run, code)


def run_process(run: Run, preemption: Preemption) -> int:
    """Trains one run in a process. Returns its exit code, or -N where signal N ended it.

    A stop of this process stops the run too, and the run does not outlive it. The run's pulse goes to the supervisor of
    this process.
    """
    pulse = pulse_fd()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.train", *run.config.to_arguments()],
        pass_fds=[] if pulse is None else [pulse],
        preexec_fn=die_with(os.getpid()),
    )
    is_stopping = False
    while True:
        try:
            return process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            if preemption.requested and not is_stopping:
                process.send_signal(signal.SIGTERM)
                is_stopping = True


def _stop_if_asked(preemption: Preemption) -> None:
    if preemption.requested:
        raise PreemptedError(f"{preemption.reason}; the same command goes on from there")


def _error_of(run: Run, code: int) -> Exception:
    """The error for a run that failed. The run has printed its reason itself."""
    if code < 0:
        return PreemptedError(f"{run.name} was ended by {signal.Signals(-code).name}; the same command goes on with it")
    kind = errors.kind_of(code)
    if kind is None:
        return RuntimeError(f"{run.name} ended with exit code {code}")
    return kind(f"{run.name} stopped the series, as it says above; when that is mended, the same command goes on")
