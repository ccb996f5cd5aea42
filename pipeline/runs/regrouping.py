"""The stop at a checkpoint by which a job takes newcomers in. All workers call it alike."""

import json

from pipeline.errors import RegroupError
from pipeline.process import pulse
from pipeline.process.environment import pulse_fd
from pipeline.runs import membership
from pipeline.runs.run import Run


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
    joined = newcomers.addresses_of(lives, workers.candidates)
    members = sorted({*workers.addresses, *joined}, key=workers.candidates.index)
    run.journal.event("regroup", step, members=members, candidates=list(workers.candidates), lives=lives)
    run.cluster.barrier()
    if (descriptor := pulse_fd()) is not None:
        pulse.give(descriptor, pulse.REGROUPS)
    raise RegroupError(f"stopped at step {step}, all of it saved, to take in {len(lives)} more worker(s)")
