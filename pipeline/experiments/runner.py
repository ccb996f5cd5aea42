"""Runs one after another, each in a process of its own; what is done already is passed over."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import config as configuration
from pipeline import errors
from pipeline.errors import ExitCode, PreemptedError, StorageError, UsageError
from pipeline.experiments.grid import Run
from pipeline.monitoring.history import DIVERGED
from pipeline.process.children import die_with
from pipeline.process.environment import pulse_fd
from pipeline.process.preemption import Preemption
from pipeline.runs import settings
from pipeline.runs.record import RunRecord

POLL_S = 0.2


def check(runs: Sequence[Run]) -> None:
    """Raises UsageError for the first run whose values break a rule, or whose directory holds another one.

    Raises StorageError where that directory cannot be.
    """
    for run in runs:
        settings.check(run.config)
        _check_place(Path(run.config.run_dir))
        record = RunRecord.read(Path(run.config.run_dir))
        asked = record and configuration.keep(record.config, run.config)
        if record and asked and (changed := configuration.differences(record.config, asked)):
            raise UsageError(
                f"{run.config.run_dir} was started with another configuration ({'; '.join(changed)}); "
                "use its own values, or another directory"
            )


def _check_place(directory: Path) -> None:
    there = next(path for path in [directory, *directory.parents] if path.exists())
    if not there.is_dir():
        raise StorageError(f"{directory} cannot be made: {there} is a file; choose another directory")


def is_done(run: Run) -> bool:
    """Whether nothing is left to do: it reached its last step, or diverged, which it would do again."""
    record = RunRecord.read(Path(run.config.run_dir))
    if record is None:
        return False
    return record.status == DIVERGED or record.history.finished(run.config.steps)


def go(runs: Sequence[Run], preemption: Preemption) -> None:
    """Makes every run that is not done, in order.

    One that diverges is left so. Raises PreemptedError where a signal or another end of a run stops the series, and
    what ended the run where that is a user's to mend.
    """
    for number, run in enumerate(runs, start=1):
        done = is_done(run)
        if not run.config.quiet:
            where = ": done already" if done else f", in {run.config.run_dir}"
            print(f"run {number} of {len(runs)}: {run.name}{where}", flush=True)
        if done:
            continue
        _stop_if_asked(preemption)
        code = make(run, preemption)
        _stop_if_asked(preemption)
        if code not in (ExitCode.DONE, ExitCode.DIVERGED):
            raise _stopped(run, code)


def make(run: Run, preemption: Preemption) -> int:
    """Trains one run in a process, which signals are passed on to; its exit code, or -N where signal N ended it.

    It does not outlive this process; a supervisor of this one hears its pulse.
    """
    pulse = pulse_fd()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.train", *run.config.to_arguments()],
        pass_fds=[] if pulse is None else [pulse],
        preexec_fn=die_with(os.getpid()),
    )
    told = False
    while True:
        try:
            return process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            if preemption.requested and not told:
                process.send_signal(signal.SIGTERM)
                told = True


def _stop_if_asked(preemption: Preemption) -> None:
    if preemption.requested:
        raise PreemptedError(f"{preemption.reason}; the same command goes on from there")


def _stopped(run: Run, code: int) -> Exception:
    """The error for a run that ended otherwise; it has said why itself."""
    if code < 0:
        return PreemptedError(f"{run.name} was ended by {signal.Signals(-code).name}; the same command goes on with it")
    kind = errors.kind_of(code)
    if kind is None:
        return RuntimeError(f"{run.name} ended with exit code {code}")
    return kind(f"{run.name} stopped the series, as it says above; when that is mended, the same command goes on")
