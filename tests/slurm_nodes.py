"""Takes nodes away from a job on a real Slurm and gives them back: python -m tests.slurm_nodes --nodes=4

The job is an array of launch/slurm.sbatch with --min_workers, a worker a node, on hosts with networks of their own (so
root is needed). After each event it must go on with the largest number of workers that the nodes allow, and after the
node's return with all of them. In the end its state must be that of a run that nothing happened to. Prints a line for
every event, and ends with 0 if all of this was so.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "support")]

import commands  # noqa: E402
from cluster import launchers, slurm  # noqa: E402

from pipeline.errors import ExitCode  # noqa: E402
from pipeline.runs.manifests import newest_step  # noqa: E402
from pipeline.runs.run_directory import RunDirectory  # noqa: E402

SHARDS, STUCK_S = 4, 400
FITTING = (1, 2, 4)  # workers that the shards divide over
MATHEMATICS = (
    *("--source=fake:600", "--model=hidden", "--global_batch=24", f"--grad_shards={SHARDS}", "--intra_op_threads=2"),
    *("--eval_every=0", "--log_every=50", "--summary_every=0"),
)
ELASTIC = ("--rejoin_timeout=20", "--start_timeout=300", "--checkpoint_every=100", "--quiet")
PATIENT = ("--stall_timeout=60", "--pulse_timeout=120", "--max_restarts=20")  # on a machine that others use too
FORMAT = "{:<10} {:<14} {:>9} {:>9} {:>9}  {}"


class Watched:
    """A job whose run directory is looked at."""

    def __init__(self, run: RunDirectory):
        self.run = run

    def told(self) -> str:
        """What to print where something never comes."""
        return ""

    def step(self) -> int:
        """The last step that was logged."""
        return max((e["step"] for e in self.run.history().events if e["event"] == "train"), default=0)

    def starts(self) -> list[int]:
        """The number of workers at each start."""
        return [e["workers"] for e in self.run.history().events if e["event"] == "start"]

    def until(self, what: str, condition: Callable[[], bool]) -> float:
        """Waits; the seconds it took. Raises SystemExit with what the tasks wrote if it never comes."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > STUCK_S:
                raise SystemExit(f"never: {what}\n{self.told()}")
            time.sleep(0.3)
        return time.monotonic() - began

    def until_it_trains(self, workers: int, earlier: int) -> float:
        """Waits until a start after so many earlier ones has so many workers, and makes steps."""

        def trains() -> bool:
            starts = self.starts()
            return len(starts) > earlier and starts[-1] == workers

        seconds = self.until(f"a job of {workers} workers", trains)
        step = self.step()
        return seconds + self.until("a step", lambda: self.step() > step)


class ArrayJob(Watched):
    """The job, whose task k is a worker on whatever node Slurm gives it."""

    def __init__(self, cluster: slurm.Slurm, directory: Path):
        super().__init__(RunDirectory(directory / "run"))
        self.cluster, self._out = cluster, directory / "out"
        count = len(cluster.nodes)
        flags = (f"--run_dir={self.run.path}", "--steps=100000000", *MATHEMATICS, *ELASTIC, *PATIENT)
        flags += (f"--min_workers={count // 2}",)  # so that of 4 nodes one alone, off the network, does not go on
        command = ["sbatch", "--parsable", f"--array=0-{count - 1}", "--nodes=1", "--exclusive", "--cpus-per-task=2"]
        command += [f"--output={self._out}-%a", str(launchers.LAUNCH / "slurm.sbatch"), *flags]
        environment = {**launchers.environment(), "SLURM_CONF": cluster.environment["SLURM_CONF"]}
        self.number = cluster.run(*command, cwd=launchers.PROJECT, env=environment).strip()

    def told(self) -> str:
        """Slurm's queue, and all that the tasks wrote."""
        written = (path.read_text() for path in sorted(self._out.parent.glob("out-*")))
        return "\n".join([self.cluster.run("squeue"), *written])

    def task_on(self, node: str) -> str:
        """The running task of a node, as Slurm names it."""
        found = self.cluster.run("squeue", "--noheader", f"--nodelist={node}", "--states=RUNNING", "--format=%i")
        return found.split()[0]

    def tasks(self, state: str) -> int:
        """How many tasks are in a state."""
        return len(self.cluster.run("squeue", "--array", "--noheader", f"--states={state}", "--format=%i").split())


def fail(job: ArrayJob, node: str) -> Callable[[], None]:
    """The operator takes the node down for a failure."""
    job.cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    job.cluster.run("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")  # it would register at once
    return lambda: _resume(job, node)


def vanish(job: ArrayJob, node: str) -> Callable[[], None]:
    """The node falls silent, with all that runs there; Slurm notices by itself."""
    host = 1 + job.cluster.nodes.index(node)
    job.cluster.hosts.cut(host)
    return lambda: job.cluster.hosts.heal(host)


def lose_daemon(job: ArrayJob, node: str) -> Callable[[], None]:
    """slurmd is killed. Slurm gives the node up, but what runs there lives on until slurmd is back, and ends it."""
    job.cluster.daemons[node].kill()
    job.until("the task queued again", lambda: job.tasks("PENDING") == 1)
    host = 1 + job.cluster.nodes.index(node)
    return lambda: job.cluster.start(host, node, "slurmd", "-D", "-N", node)


def drain(job: ArrayJob, node: str) -> Callable[[], None]:
    """The operator drains the node and queues its task again, which saves and leaves."""
    task = job.task_on(node)
    job.cluster.run("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    job.cluster.run("scontrol", "requeue", task)
    return lambda: _resume(job, node)


def preempt(job: ArrayJob, node: str) -> Callable[[], None]:
    """A job of higher priority takes the node for a while."""
    command = ("sbatch", "--parsable", "--partition=high", "--exclusive", f"--nodelist={node}", "--output=/dev/null")
    other = job.cluster.run(*command, "--wrap=sleep 1000").strip()
    return lambda: job.cluster.run("scancel", other)


EVENTS = (fail, drain, preempt, vanish, lose_daemon)
LIVES_ON = (lose_daemon,)  # events during which the job keeps all its workers


def _resume(job: ArrayJob, node: str) -> None:
    job.cluster.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)


def hit(job: ArrayJob, event: Callable[[ArrayJob, str], Callable[[], None]], node: str) -> None:
    """One event, and what follows until the job has all nodes again."""
    count, earlier, step = len(job.cluster.nodes), len(job.starts()), job.step()
    give_back = event(job, node)
    if event in LIVES_ON:
        gone_s = job.until("a step", lambda: job.step() > step)
    else:
        gone_s = job.until_it_trains(max(fit for fit in FITTING if fit <= count - 1), earlier)
    earlier = len(job.starts())
    give_back()
    back_s = job.until_it_trains(count, earlier)
    sizes = " ".join(map(str, job.starts()))
    print(FORMAT.format(event.__name__, node, step, f"{gone_s:.0f} s", f"{back_s:.0f} s", sizes), flush=True)


def state_of(run: RunDirectory, step: int) -> str:
    """The hash of a checkpoint's whole state."""
    return json.loads((run.checkpoints / f"ckpt-{step}.manifest.json").read_text())["state_sha256"]


def undisturbed(step: int) -> str:
    """The same, of one worker that nothing happens to."""
    with tempfile.TemporaryDirectory() as directory:
        flags = (f"--steps={step}", f"--checkpoint_every={step}", f"--run_dir={directory}/run")
        commands.succeed("train", *MATHEMATICS, *flags)
        return state_of(RunDirectory(Path(directory, "run")), step)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that all is cleared away
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=4, help="2 or 4 (default: %(default)s)")
    parser.add_argument("--only", help="names of events, with commas (default: all, in turn)")
    asked = parser.parse_args()
    if reason := slurm.missing() or launchers.missing():
        raise SystemExit(reason)
    names = asked.only.split(",") if asked.only else [event.__name__ for event in EVENTS]
    with (
        tempfile.TemporaryDirectory() as directory,
        slurm.slurm(asked.nodes, "SlurmctldParameters=preempt_send_user_signal\n") as cluster,
    ):
        job = ArrayJob(cluster, Path(directory))
        job.until_it_trains(asked.nodes, 0)
        print(FORMAT.format("event", "node", "at step", "gone", "back", "workers at each start so far"), flush=True)
        for k, name in enumerate(names):
            event = next(event for event in EVENTS if event.__name__ == name)
            hit(job, event, cluster.nodes[k % asked.nodes])
        job.run.stop_file.touch()
        job.until("the end", lambda: job.tasks("PENDING,RUNNING,COMPLETING") == 0)
        codes = {cluster.job(f"{job.number}_{k}")["ExitCode"] for k in range(asked.nodes)}
        last = newest_step(job.run.checkpoints)
        found, wanted = state_of(job.run, last), undisturbed(last)
    print(f"state_sha256 {found} at step {last}; undisturbed {wanted}; exit codes {', '.join(sorted(codes))}")
    raise SystemExit(found != wanted or codes != {f"{ExitCode.PREEMPTED}:0"})


if __name__ == "__main__":
    main()
