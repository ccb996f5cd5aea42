"""A job that shrinks and grows: real supervisors and workers, and the bits of a run that nothing happened to."""

import contextlib
import json
import subprocess

import jobs
from cluster.launchers import LAUNCH
from trainings import Training, train, training

from pipeline.errors import ExitCode
from pipeline.runs.manifests import newest_step
from pipeline.runs.run_directory import RunDirectory

# A checkpoint at each step makes the steps slow enough for all that happens meanwhile.
FLAGS = ("--eval_every=0", "--summary_every=0", "--log_every=1", "--checkpoint_every=1", "--max_restarts=20")
ELASTIC = ("--min_workers=1", "--rejoin_timeout=8", "--start_timeout=120", "--steps=1000000", "--quiet")


class Hosts:
    """The supervisors of a job, each of one worker."""

    def __init__(self, closing: contextlib.ExitStack, run: RunDirectory, count: int):
        self._closing, self._run, self._addresses = closing, run, ",".join(jobs.local_addresses(count))

    def start(self, index: int, *flags) -> Training:
        place = (f"--worker_addresses={self._addresses}", f"--worker_index={index}")
        starting = training(self._run.path, *FLAGS, *ELASTIC, *place, *flags, entry_point="supervise")
        return self._closing.enter_context(starting)


def starts(run: RunDirectory) -> list[int]:
    """The number of workers at every start."""
    return [event["workers"] for event in run.history().events if event["event"] == "start"]


def steps(run: RunDirectory) -> list[int]:
    return [event["step"] for event in run.history().events if event["event"] == "train"]


def state_of(run: RunDirectory, step: int) -> str:
    return json.loads((run.checkpoints / f"ckpt-{step}.manifest.json").read_text())["state_sha256"]


def test_the_others_go_on_without_a_host_that_is_gone_and_take_it_in_when_it_is_back(tmp_path):
    """The chief's host, so that another worker becomes the chief; and a spare with another flag changes nothing."""
    run = RunDirectory(tmp_path / "run")
    with contextlib.ExitStack() as closing:
        hosts = Hosts(closing, run, 2)
        gone, other = hosts.start(0), hosts.start(1)
        assert other.until_step(3)
        gone.kill()
        assert other.until(lambda: starts(run)[-1] == 1)
        wrong = hosts.start(0, "--seed=7")
        code, _, told = wrong.end()
        assert code == ExitCode.USAGE and "was started with another configuration (seed: 1 -> 7)" in told
        back = hosts.start(0)
        assert other.until(lambda: starts(run)[-1] == 2)
        assert other.until_step(steps(run)[-1] + 5)
        run.stop_file.touch()
        ends = [back.end(), other.end()]
    assert [code for code, _, _ in ends] == [ExitCode.PREEMPTED] * 2, ends
    assert "started again at once: the job goes on with other workers" in ends[1][2]
    assert steps(run) == list(range(1, steps(run)[-1] + 1)), "no step is missing, and none was made twice"
    last = newest_step(run.checkpoints)
    straight = RunDirectory(tmp_path / "straight")
    train(straight.path, f"--steps={last}", f"--checkpoint_every={last}", "--eval_every=0", "--log_every=0")
    assert state_of(run, last) == state_of(straight, last)


def test_ssh_tries_a_lost_host_again_and_its_loss_ends_nothing(tmp_path):
    """A program in ssh's place: one host finishes, the other is never reached."""
    program, calls = tmp_path / "ssh", tmp_path / "calls"
    program.write_text(f'#!/bin/bash\necho "${{@: -2:1}}" >>{calls}\n[ "${{@: -2:1}}" = a ] || exit 255\nsleep 7\n')
    program.chmod(0o755)
    command = [LAUNCH / "ssh.sh", "--hosts=a,b", f"--ssh={program}", "--min_workers=1"]
    ended = subprocess.run(command, text=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert ended.returncode == 0 and "b cannot be reached any more" in ended.stderr
    called = calls.read_text().split()
    assert called.count("a") == 1 and called.count("b") >= 2
