"""A job of several workers, hit by one accident after the other: python -m tests.chaos --minutes=M --seed=S

Each worker has a supervisor and a host of its own (a network namespace, so root is needed), and all share a run
directory on a small disk. Each supervisor has a terminal, and what it writes goes through a pipe to a reader. Events
are drawn at random: see EVENTS. The job may shrink and grow. After each event it must come forward again by itself,
with as many workers as are there, from the newest checkpoint that was whole. In the end it must have the
parameters_sha256 of a run that nothing ever happened to. Prints a line for every event, and ends with 0 if all of this
was so.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pty
import random
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.runs.manifests import newest_step
from pipeline.runs.run_directory import RunDirectory
from tests.support.cluster.hosts import Hosts, hosts, missing

PORT, DISK = 9000, "48m"
INTERVAL, LOOP = 100, 5  # steps between checkpoints, and in a call
STUCK_S = 300
WAIT_S = 20  # for the other hosts, once one has left
FLAGS = (
    *("--source=fake:300", "--model=models_for_tests:batch_norm", "--optimizer=adam", "--global_batch=24"),
    *("--grad_shards=4", "--intra_op_threads=2", f"--steps_per_loop={LOOP}", f"--log_every={LOOP}", "--eval_every=500"),
    *(f"--checkpoint_every={INTERVAL}", "--eval_batch=50", "--start_timeout=90", "--quiet"),
    *("--min_workers=1", "--rejoin_timeout=20"),
)
SHAPES = ((2, 1), (2, 2), (4, 1))  # workers and towers that four shards divide over
FITTING = (1, 2, 4)  # workers of a job, of those that are there
FORMAT = "{:>3} {:<14} {:<9} {:>8} {:>10} {:>9}  {}"


class Job:
    """The supervisors of a job, one a host, and the workers below them."""

    def __init__(self, where: Hosts, run_dir: Path, leg: int):
        self._hosts, self.run, self._leg = where, RunDirectory(run_dir), leg
        self.shape, self.steps = SHAPES[0], leg
        self.away: set[int] = set()  # hosts of the shape that are gone, or not there yet
        self.supervisors: list[subprocess.Popen] = []
        self._hosts_of: list[int] = []  # theirs
        self.terminals: list[int] = []  # our ends; where one is closed, the supervisor's terminal hangs up
        self.readers: list[subprocess.Popen] = []  # of what the supervisors write
        self._left_at: float | None = None  # the clock when the first of them left

    def start(self) -> None:
        """Starts every supervisor, but for those that are away."""
        for host in self.there():
            self.start_at(host)

    def there(self) -> list[int]:
        """The hosts that are not away."""
        return sorted(set(range(self.shape[0])) - self.away)

    def size(self) -> int:
        """The number of workers of the job, of the hosts that are there."""
        return max(count for count in FITTING if count <= len(self.there()))

    def has_spare(self) -> bool:
        """Whether a host is there that the job does not need."""
        return self.size() < len(self.there())

    def start_at(self, host: int) -> None:
        """Starts the supervisor of a host."""
        workers, towers = self.shape
        addresses = ",".join(f"{host}:{PORT}" for host in self._hosts.addresses[:workers])
        command = [*self._hosts[host], sys.executable, "-m", "pipeline.supervise", *FLAGS, "--max_restarts=1000"]
        command += [f"--run_dir={self.run.path}", f"--steps={self.steps}", f"--towers={towers}"]
        command += [f"--worker_addresses={addresses}", f"--worker_index={host}"]
        self._hosts_of.append(host)
        self._start_one(command, self.run.path.parent.parent / f"supervisor-{host}.log")

    def lose(self, host: int) -> None:
        """Kills the supervisor of a host, and its worker with it, for good."""
        self.away.add(host)
        place = self._hosts_of.index(host)
        supervisor = self.supervisors.pop(place)
        del self._hosts_of[place]
        supervisor.kill()
        supervisor.wait()

    def _start_one(self, command: list[str], log: Path) -> None:
        """Starts a supervisor in a session of its own, whose terminal is its stdin, with `tee` behind its output."""
        reader = subprocess.Popen(["tee", "-a", log], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        ours, terminal = pty.openpty()
        self.supervisors.append(
            subprocess.Popen(
                command,
                stdin=terminal,
                stdout=reader.stdin,
                stderr=reader.stdin,
                env=environment(),
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
            )
        )
        os.close(terminal)
        reader.stdin.close()
        self.terminals.append(ours)
        self.readers.append(reader)

    def _forget(self) -> None:
        """Lets go of supervisors that have ended, and of what they wrote to."""
        while self.terminals:
            os.close(self.terminals.pop())
        for reader in self.readers:
            reader.kill()
            reader.wait()
        self.supervisors, self.readers, self._hosts_of = [], [], []

    def workers(self) -> list[int]:
        """The processes of the workers that are there now."""
        found = []
        for supervisor in self.supervisors:
            with contextlib.suppress(OSError):
                children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text()
                found += map(int, children.split())
        return found

    def a_worker(self, draws: random.Random) -> int:
        """The process of one of them; waits for one where all are being started again."""
        while not (found := self.workers()):
            self.turn()
            time.sleep(0.1)
        return draws.choice(found)

    def ended(self) -> list[int]:
        """The exit codes of the supervisors, once all have ended; [] before."""
        codes = [supervisor.poll() for supervisor in self.supervisors]
        return [] if None in codes else [code for code in codes if code is not None]

    def stop(self) -> None:
        """Asks all to stop, and waits until they have."""
        for supervisor in self.supervisors:
            supervisor.send_signal(signal.SIGTERM)
        for supervisor in self.supervisors:
            supervisor.wait()
        self._forget()

    def kill(self) -> None:
        """Kills all supervisors; their workers go with them."""
        for supervisor in self.supervisors:
            supervisor.kill()
            supervisor.wait()
        self._forget()

    def logged(self) -> int:
        """The last step that was told."""
        return max((e["step"] for e in self.run.history().events if e["event"] == "train"), default=0)

    def turn(self) -> None:
        """Starts the job again if it stopped, as a scheduler does; where it is finished, with more steps to go."""
        self._end_the_rest()
        if codes := self.ended():
            if set(codes) == {0}:
                self.steps += self._leg
            elif not set(codes) <= {0, 75, 76, -signal.SIGKILL, -signal.SIGHUP}:
                raise SystemExit(f"supervisors ended with {codes}: see supervisor-*.log")
            self._forget()
            self.start()

    def _end_the_rest(self) -> None:
        """Asks the others to stop `WAIT_S` seconds after the first host left, as `srun --wait` does."""
        living = [supervisor for supervisor in self.supervisors if supervisor.poll() is None]
        if len(living) == len(self.supervisors):
            self._left_at = None
        elif self._left_at is None:
            self._left_at = time.monotonic()
        elif time.monotonic() - self._left_at > WAIT_S:
            for supervisor in living:
                supervisor.send_signal(signal.SIGTERM)
            self._left_at = None


def environment() -> dict[str, str]:
    paths = os.pathsep.join(map(str, (Path(__file__).parents[1], Path(__file__).parent / "support")))
    return {**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


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


def until(job: Job, step: int, restarted_after: float = 0.0, size: int = 0) -> float:
    """Waits until a start after a time and a step beyond `step` are told and one more is saved; the seconds it took.

    size: of the job, in the last start, if any is asked for.
    """
    started, saved = time.monotonic(), newest_step(job.run.checkpoints)

    def is_there() -> bool:
        return bool(starts(job, restarted_after)) and size in (0, last_size(job))

    while not is_there() or job.logged() <= step or newest_step(job.run.checkpoints) <= saved:
        job.turn()
        if time.monotonic() - started > STUCK_S:
            raise SystemExit(f"no step beyond {step} for {STUCK_S} s: see {job.run.path.parent.parent}")
        time.sleep(0.1)
    return time.monotonic() - started


def starts(job: Job, after: float) -> list[int]:
    """The step of every start after a time."""
    return [e["step"] for e in job.run.history().events if e["event"] == "start" and e["time"] > after]


def last_size(job: Job) -> int:
    """The number of workers at the last start."""
    return [e["workers"] for e in job.run.history().events if e["event"] == "start"][-1]


def hit(job: Job, number: int, draws: random.Random, flips: int, among: Sequence[Event]) -> tuple[str, int, float]:
    """One event and what followed: its name, the restarts, the seconds lost. Raises SystemExit if too much was lost."""
    time.sleep(draws.uniform(0, 3))
    while not job.workers():
        job.turn()
        time.sleep(0.1)
    event = draws.choice(among)
    step, shape, now, size, had_spare = job.logged(), job.shape, time.time(), job.size(), job.has_spare()
    event(job, draws)
    may_pass = job.size() == size if event in COMING_AND_GOING else had_spare or event in MAY_PASS
    seconds = until(job, step, 0.0 if may_pass else now, job.size() if event in COMING_AND_GOING else 0)
    restarts = starts(job, now)
    lost = max((max(step - start, 0) for start in restarts), default=0)
    row = (number, event.__name__, f"{size}/{shape[0]} x {shape[1]}", step, len(restarts), lost, f"{seconds:.1f}")
    print(FORMAT.format(*row), flush=True)
    if lost > LOOP + INTERVAL * (2 + flips + (event is flip_byte)):  # of the newest two one may be half written
        raise SystemExit(f"{lost} steps were lost; a checkpoint is due every {INTERVAL}")
    return event.__name__, len(restarts), seconds


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """A disk of size DISK in memory."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        disk = Path(directory, "disk")
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", disk], check=True)
        try:
            yield disk
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)


def disturbed(minutes: float, events: int, leg: int, draws: random.Random, among: Sequence[Event]) -> tuple[str, int]:
    """Hits a job until both the minutes and the number of events are reached; its parameters_sha256 and last step."""
    with small_disk() as disk, hosts(max(workers for workers, _ in SHAPES)) as where:
        job, began, happened, flips = Job(where, disk / "run", leg), time.monotonic(), [], 0
        job.start()
        try:
            until(job, 0)
            while len(happened) < events or time.monotonic() - began < minutes * 60:
                happened.append(hit(job, len(happened) + 1, draws, flips, among))
                flips = flips + 1 if happened[-1][0] == "flip_byte" else 0 if happened[-1][1] else flips
            while not job.ended() or set(job.ended()) != {0}:
                if job.ended():
                    job.turn()
                time.sleep(0.1)
            summary(happened)
            result = job.run.history().result
            assert result is not None
            return result["parameters_sha256"], result["step"]
        finally:
            job.kill()


def summary(happened: list[tuple[str, int, float]]) -> None:
    counts = Counter(name for name, _, _ in happened)
    for name in sorted(counts):
        seconds = [s for other, _, s in happened if other == name]
        mean = sum(seconds) / len(seconds)
        print(f"{counts[name]:>3} x {name:<14} {mean:6.1f} s lost on average, {max(seconds):.1f} at most")
    print(f"{len(happened)} events, {sum(restarts for _, restarts, _ in happened)} restarts")


def undisturbed(steps: int) -> str:
    """The parameters_sha256 of one worker on one tower that nothing happens to."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "pipeline.train", *FLAGS, f"--run_dir={directory}/run", f"--steps={steps}"]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment())
        return json.loads(ended.stdout.splitlines()[-1])["parameters_sha256"]


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that hosts and disk are cleared away
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0, help="at least (default: until the events are over)")
    parser.add_argument("--events", type=int, default=5, help="at least (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the events (default: %(default)s)")
    parser.add_argument("--leg", type=int, default=2000, help="steps of a job; finished, it goes on with as many more")
    parser.add_argument("--only", help="names of events, with commas (default: all)")
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else []
    among = [event for event in EVENTS if not names or event.__name__ in names]
    if reason := missing():
        raise SystemExit(reason)
    print(FORMAT.format("", "event", "job", "at step", "restarts", "lost", "seconds until the next checkpoint"))
    found, steps = disturbed(asked.minutes, asked.events, asked.leg, random.Random(asked.seed), among)
    wanted = undisturbed(steps)
    print(f"parameters_sha256 {found} at step {steps}; undisturbed {wanted}")
    raise SystemExit(found != wanted)


if __name__ == "__main__":
    main()
