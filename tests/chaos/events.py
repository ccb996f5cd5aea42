"""Accidents that befall a job, and hosts that come and go."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

from pipeline.runs.manifests import newest_step
from tests.chaos.job import SHAPES, Job, until


def kill_one(job: Job, draws: random.Random) -> None:
    _signal([job.a_worker(draws)], signal.SIGKILL)


def kill_all(job: Job, draws: random.Random) -> None:
    _signal(job.workers(), signal.SIGKILL)


def kill_host(job: Job, draws: random.Random) -> None:
    """Supervisors and all; the scheduler starts the job again."""
    job.kill()
    job.start()


def preempt(job: Job, draws: random.Random) -> None:
    _signal([job.a_worker(draws)], draws.choice((signal.SIGTERM, signal.SIGUSR1)))


def hang_up(job: Job, draws: random.Random) -> None:
    """SIGHUP, to a worker or to a supervisor."""
    supervisor = draws.choice(job.supervisors).pid
    _signal([draws.choice((job.a_worker(draws), supervisor))], signal.SIGHUP)


def close_terminal(job: Job, draws: random.Random) -> None:
    """Of one host: the kernel tells everyone in its session."""
    os.close(job.terminals.pop(draws.randrange(len(job.terminals))))


def lose_reader(job: Job, draws: random.Random) -> None:
    """Of one host: what it writes is read no more."""
    draws.choice(job.readers).kill()


def suspend(job: Job, draws: random.Random) -> None:
    _signal([job.a_worker(draws)], signal.SIGSTOP)


def cut_link(job: Job, draws: random.Random) -> None:
    host = draws.randrange(job.shape[0])
    job._hosts.cut(host)
    time.sleep(draws.uniform(2, 30))
    job._hosts.heal(host)


def fill_disk(job: Job, draws: random.Random) -> None:
    filler = job.run.path.parent / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    time.sleep(draws.uniform(2, 20))
    filler.unlink(missing_ok=True)


def flip_byte(job: Job, draws: random.Random) -> None:
    """Of the newest checkpoint; it shows when the next accident makes someone read it."""
    step = newest_step(job.run.checkpoints)
    with contextlib.suppress(OSError):  # pruned meanwhile
        path = draws.choice(sorted(job.run.checkpoints.glob(f"ckpt-{step}.*")))
        with path.open("r+b") as file:
            position = draws.randrange(path.stat().st_size)
            file.seek(position)
            byte = file.read(1)[0]
            file.seek(position)
            file.write(bytes([byte ^ 1 << draws.randrange(8)]))


def reshape(job: Job, draws: random.Random) -> None:
    """Stops the job, which goes on with other workers and towers."""
    job.stop()
    job.shape = draws.choice([shape for shape in SHAPES if shape != job.shape])
    job.away.clear()
    job.start()


def host_gone(job: Job, draws: random.Random) -> None:
    """For good, as far as the others know; they go on without it. If only one is left, it is another's return."""
    if len(job.there()) == 1:
        host_back(job, draws)
    else:
        job.lose(draws.choice(job.there()))


def host_back(job: Job, draws: random.Random) -> None:
    """The job takes it in, if that makes it larger. If none is away, one is lost."""
    if not job.away:
        host_gone(job, draws)
        return
    host = draws.choice(sorted(job.away))
    job.away.remove(host)
    job.start_at(host)


def spare_joins(job: Job, draws: random.Random) -> None:
    """The job starts without a host, goes on for a while, and takes it in when it comes for the first time."""
    job.stop()
    job.away = {draws.randrange(job.shape[0])}
    began, step = time.time(), job.logged()
    job.start()
    until(job, step, began)
    host_back(job, draws)


MAY_PASS = (cut_link, fill_disk, flip_byte, lose_reader)  # perhaps without a restart
EVENTS = (
    *(kill_one, kill_all, kill_host, preempt, hang_up, close_terminal, lose_reader),
    *(suspend, cut_link, fill_disk, flip_byte, reshape, host_gone, host_back, spare_joins),
)
Event = Callable[[Job, random.Random], None]
COMING_AND_GOING = (host_gone, host_back, spare_joins)


def _signal(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
