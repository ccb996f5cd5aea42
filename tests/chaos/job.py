"""The supervisors of a job, each on a host of its own, and the scheduler that starts them again."""

import contextlib
import fcntl
import os
import pty
import random
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

from pipeline.runs.manifests import newest_step
from pipeline.runs.run_directory import RunDirectory
from tests.support.cluster.hosts import Hosts

PORT = 9000
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
                raise SystemExit(f"supervisors ended with {codes}")
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
    paths = os.pathsep.join(map(str, (Path(__file__).parents[2], Path(__file__).parents[1] / "support")))
    return {**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


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
            raise SystemExit(f"no step beyond {step} for {STUCK_S} s")
        time.sleep(0.1)
    return time.monotonic() - started


def starts(job: Job, after: float) -> list[int]:
    """The step of every start after a time."""
    return [e["step"] for e in job.run.history().events if e["event"] == "start" and e["time"] > after]


def last_size(job: Job) -> int:
    """The number of workers at the last start."""
    return [e["workers"] for e in job.run.history().events if e["event"] == "start"][-1]
