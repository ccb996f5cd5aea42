"""launch/slurm.sbatch on a real Slurm: whatever takes a job away, it comes back by itself and ends on the same bits.

Nodes that fail: python -m tests.slurm_nodes
"""

import json
import os
import re
import signal
from pathlib import Path

import commands
import pytest
from cluster import launchers, slurm
from cluster.launchers import FLAGS, LAUNCH, PROJECT

from pipeline.errors import ExitCode
from pipeline.runs.manifests import newest_step
from pipeline.runs.run_directory import RunDirectory

pytestmark = [
    pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing()),
    pytest.mark.skipif(bool(launchers.missing()), reason=launchers.missing()),
]
DEADLINE_S = 240
PATIENT = ("--stall_timeout=120", "--pulse_timeout=120")  # with trainers that are held


@pytest.fixture(scope="module")
def cluster():
    with slurm.slurm(2, "SlurmctldParameters=preempt_send_user_signal\n") as running:
        yield running


@pytest.fixture(autouse=True)
def idle(cluster):
    """Slurm may fail to launch a job on a node that an earlier test took down or whose last job is not cleared away."""
    cluster.until("idle", cluster.is_up)


class Job:
    """A job of launch/slurm.sbatch."""

    def __init__(self, cluster: slurm.Slurm, directory: Path, num_workers: int, *flags: str, options=()):
        self._cluster, self.run = cluster, RunDirectory(directory / "run")
        self._output = directory / "out"
        command = ["sbatch", "--parsable", f"--nodes={num_workers}", "--cpus-per-task=2", f"--output={self._output}"]
        command += [*options, str(LAUNCH / "slurm.sbatch"), f"--run_dir={self.run.path}", *flags]
        environment = {**launchers.environment(), "SLURM_CONF": cluster.environment["SLURM_CONF"]}
        self.number = cluster.run(*command, cwd=PROJECT, env=environment).strip()

    @property
    def output(self) -> str:
        """All that it wrote, in all its lives."""
        return self._output.read_text() if self._output.exists() else ""

    @property
    def state(self) -> str:
        """As Slurm says it: PENDING, RUNNING, COMPLETED, FAILED, …"""
        return self._cluster.job(self.number)["JobState"]

    @property
    def restarts(self) -> int:
        """How often it was requeued."""
        return int(self._cluster.job(self.number)["Restarts"])

    def until_step(self, step: int) -> None:
        """Waits until a step is logged."""

        def logged() -> bool:
            assert self.state not in ("COMPLETED", "FAILED"), self.output
            return any(event["event"] == "train" and event["step"] >= step for event in self.run.history().events)

        self._cluster.until(f"step {step}", logged, DEADLINE_S)

    def hold_until_a_signal(self) -> None:
        """Stops the trainers until they are sent a signal, which they find as they go on: none ends before it comes."""
        trainers = launchers.processes(self.run.path, "pipeline.train")
        for process in trainers:
            os.kill(process, signal.SIGSTOP)
        self._cluster.until("a signal", lambda: " passed on to the workers" in self.output, DEADLINE_S)
        for process in trainers:
            os.kill(process, signal.SIGCONT)

    def end(self) -> int:
        """Waits for the end; the exit code."""
        self._cluster.until("the end", lambda: self.state in ("COMPLETED", "FAILED", "TIMEOUT"), DEADLINE_S)
        return int(self._cluster.job(self.number)["ExitCode"].partition(":")[0])

    def assert_ended_as(self, parameters_sha256: str, restarts: int) -> None:
        """That it came to its end, on these bits, after so many lives."""
        assert (self.end(), self.restarts) == (0, restarts), self.output
        assert self.run.history().result["parameters_sha256"] == parameters_sha256


def state_of(run: RunDirectory, step: int) -> str:
    """The hash of a checkpoint's whole state."""
    return json.loads((run.checkpoints / f"ckpt-{step}.manifest.json").read_text())["state_sha256"]


def test_a_dry_run_says_what_would_run_where(cluster, tmp_path):
    job = Job(cluster, tmp_path, 2, "--dry_run", *FLAGS)
    assert job.end() == 0
    addresses = [f"{node}:" for node in cluster.nodes]
    lines = sorted(line for line in job.output.splitlines() if ": worker " in line)
    assert [line.partition(", on ")[0].rpartition(":")[0] + ":" for line in lines] == [
        f"{k}: worker {k} of 2 at {addresses[k]}" for k in range(2)
    ]
    assert not job.run.path.exists()


def test_a_preflight_runs_on_all_its_nodes(cluster, tmp_path):
    job = Job(cluster, tmp_path, 2, "--preflight", *FLAGS)
    assert job.end() == 0, job.output
    assert "0: preflight: 2 worker(s), ready to train" in job.output
    assert "not sealed" not in job.output and "0: listening on a network: " in job.output


def test_several_tasks_a_node_have_ports_of_their_own(cluster, tmp_path):
    job = Job(cluster, tmp_path, 2, "--preflight", *FLAGS, options=["--ntasks-per-node=2", "--cpus-per-task=1"])
    assert job.end() == 0, job.output
    rows = re.findall(r"^0: (\d)  +(\S+):(\d+) .* by all ", job.output, re.MULTILINE)
    port = int(rows[0][2])
    assert rows == [
        (str(2 * node + rank), cluster.nodes[node], str(port + rank)) for node in range(2) for rank in range(2)
    ]


def test_a_wrong_flag_fails_the_job_with_its_code(cluster, tmp_path):
    job = Job(cluster, tmp_path, 1, "--model=convolutionl")
    assert (job.end(), job.restarts) == (ExitCode.USAGE, 0)
    assert "usage: model=convolutionl" in job.output


def test_a_task_of_an_array_leaves_alone_and_is_taken_in_again(cluster, tmp_path):
    """Slurm queues the chief's task again. The other one goes on at once, and both do when it is back."""
    flags = (*FLAGS, "--steps=1000000", "--min_workers=1", "--rejoin_timeout=10")
    job = Job(cluster, tmp_path, 1, *flags, *PATIENT, options=["--array=0-1", "--exclusive"])

    def starts() -> list[int]:
        return [event["workers"] for event in job.run.history().events if event["event"] == "start"]

    job.until_step(40)
    cluster.run("scontrol", "requeue", f"{job.number}_0")
    cluster.until("one alone, then both", lambda: starts() == [2, 1, 2], DEADLINE_S)
    job.run.stop_file.touch()
    cluster.until("the end", lambda: not cluster.run("squeue", "--noheader"), DEADLINE_S)
    ends = [cluster.job(f"{job.number}_{task}") for task in range(2)]
    assert [(end["ExitCode"], end["Restarts"]) for end in ends] == [("75:0", "1"), ("75:0", "0")]
    last = newest_step(job.run.checkpoints)
    straight = RunDirectory(tmp_path / "straight")
    commands.succeed("train", *FLAGS, f"--steps={last}", f"--checkpoint_every={last}", f"--run_dir={straight.path}")
    assert state_of(job.run, last) == state_of(straight, last)


def test_an_array_that_is_no_job_of_workers_is_refused(cluster, tmp_path):
    job = Job(cluster, tmp_path, 1, *FLAGS, options=["--array=0-0"])
    assert job.end() == ExitCode.USAGE
    assert "usage: the tasks of an array are workers of one node each, so give --nodes=1 and --min" in job.output


def test_preempted_by_a_job_of_higher_priority_it_saves_and_goes_on(cluster, tmp_path, undisturbed):
    """Both its lives train on all its nodes."""
    job = Job(cluster, tmp_path, 2, *FLAGS, *PATIENT)
    job.until_step(40)
    cluster.run("sbatch", "--partition=high", "--exclusive", "--nodes=2", "--output=/dev/null", "--wrap=sleep 1")
    job.hold_until_a_signal()
    cluster.until("preempted", lambda: job.restarts == 1)
    job.assert_ended_as(undisturbed, restarts=1)
    assert [event["workers"] for event in job.run.history().events if event["event"] == "start"] == [2, 2]
    [preempted] = [event for event in job.run.history().events if event["event"] == "preempted"]
    assert [event["step"] for event in job.run.history().events if event["event"] == "resume"] == [preempted["step"]]


def test_at_its_time_limit_it_saves_queues_itself_again_and_goes_on(cluster, tmp_path, undisturbed):
    """Slurm counts limits in minutes, and looks at them twice a minute. The limit is set once the job is at work."""
    job = Job(cluster, tmp_path, 2, *FLAGS, *PATIENT, options=["--time=10", "--signal=B:USR1@110"])
    job.until_step(40)
    hours, minutes, _ = map(int, cluster.job(job.number)["RunTime"].split(":"))
    cluster.run("scontrol", "update", f"jobid={job.number}", f"timelimit={60 * hours + minutes + 2}")
    job.hold_until_a_signal()
    cluster.until("requeued", lambda: job.restarts == 1, DEADLINE_S)
    assert job.output.count("SIGUSR1 passed on to the workers") == 2 and "DUE TO TIME LIMIT" not in job.output
    cluster.run("scontrol", "update", f"jobid={job.number}", "timelimit=20")
    job.assert_ended_as(undisturbed, restarts=1)
