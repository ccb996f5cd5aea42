"""The stops by which a job takes newcomers in, and goes on without workers that leave. All workers call them alike."""

import json
import signal
from typing import NoReturn

from pipeline.errors import RegroupError
from pipeline.process import pulse
from pipeline.process.environment import pulse_fd
from pipeline.runs import membership
from pipeline.runs.run import Run

ANOTHERS = "a stop of another worker"  # what a worker is told that was not told itself


def stop_for_newcomers(run: Run, step: int) -> None:
    """Raises RegroupError at a saved step, once all is on disk, if newcomers make a larger job possible.

    A launch that has come no further does not stop: a job that gathers always trains.
    """
    newcomers = run.job.newcomers
    if newcomers is None or step == run.start.step:
        return
    lives = newcomers.to_take_in(membership.lately_asked_in(run.journal.history)) if run.is_chief else []
    lives = json.loads(run.cluster.broadcast(json.dumps(lives).encode()))
    if not lives:
        return
    run.checkpoints.wait()
    workers = run.topology.workers
    candidates = membership.candidate_addresses(run.directory, workers)
    joined = filter(None, newcomers.addresses_of(lives, candidates))
    members = sorted({*workers.addresses, *joined}, key=candidates.index)
    run.journal.event("regroup", step, members=members, candidates=list(candidates), lives=lives)
    _start_again(run, f"stopped at step {step}, all of it saved, to take in {len(lives)} more worker(s)")


def part_with_those_told_to_stop(run: Run, step: int) -> None:
    """Raises RegroupError at a saved step if a scheduler starts each worker by itself, and signals were what told some.

    Those leave; the others are started again, and go on without them. A stop file stops them all, and nothing is
    raised.
    """
    workers, own = run.topology.workers, run.stop.reason or ""
    if not workers.learned or run.job.newcomers is None:
        return
    reasons = [text.decode() for text in run.cluster.gather(own.encode())]
    leaving = [k for k, reason in enumerate(reasons) if reason in signal.Signals.__members__]
    if not leaving or any(reason != ANOTHERS for k, reason in enumerate(reasons) if k not in leaving):
        return
    members = [address for k, address in enumerate(workers.addresses) if k not in leaving]
    candidates = list(membership.candidate_addresses(run.directory, workers))
    if members:
        run.journal.event("regroup", step, members=members, candidates=candidates, lives=[])
    else:
        run.journal.event("preempted", step, signal=own)
    if workers.index in leaving:
        run.cluster.part()
        raise RegroupError(f"{own} at step {step}, and all of it is saved; the others go on without this worker")
    _start_again(run, f"stopped at step {step}, all of it saved, to go on without {len(leaving)} worker(s)")


def _start_again(run: Run, why: str) -> NoReturn:
    """Ends this process, which its supervisor is to start again at once, once all have written what is to be said."""
    run.cluster.part()
    if (descriptor := pulse_fd()) is not None:
        pulse.give(descriptor, pulse.REGROUPS)
    raise RegroupError(why)
