"""A worker that is killed, stopped, stuck, late or wrong: all others notice, say who it was, and leave."""

import contextlib
import json
import shutil
import signal
import socket

import commands
import jobs
import numpy as np
from pictures import write
from trainings import FLAGS, STEPS, Training, assert_equal_runs, train

from pipeline.errors import ExitCode
from pipeline.runs.manifests import newest_step
from pipeline.runs.run_directory import RunDirectory

ALL_STEPS = f"--steps={STEPS}"
ENDLESS = "--steps=1000000"
SOON = "--stall_timeout=5"


def test_one_that_is_killed_is_missed_by_all_and_the_job_goes_on(straight, tmp_path):
    """The chief's loss costs what was not saved, as test_local.py shows."""
    run = RunDirectory(tmp_path / "run")
    with jobs.job(run.path, ALL_STEPS, "--checkpoint_every=0", workers=4) as live:
        assert live.until_step(14)
        live[2].send(signal.SIGKILL)
        lines = live.all_lose(2)
        assert all("start the job again" in line for line in lines)
        assert "Thread" in live.log(0) and "worker 2: {" in live.log(0)
        assert newest_step(run.checkpoints) >= 14, "the chief saved what it had"
    train(run.path, ALL_STEPS, "--towers=2")
    assert_equal_runs(run.path, straight)


def test_one_that_is_stopped_is_missed_by_all_and_leaves_when_it_goes_on(tmp_path):
    """The chief, whose word to the user comes late then, and once."""
    with jobs.job(tmp_path / "run", ENDLESS, SOON, f"--notify=cat >> {tmp_path}/told") as live:
        assert live.until_step(14)
        live[0].send(signal.SIGSTOP)
        live.all_lose(0)
        live[0].send(signal.SIGCONT)
        code, _, err = live[0].end()
    assert code == ExitCode.PEER_LOST and err.count("\n") == 1
    notice = json.loads((tmp_path / "told").read_text())
    assert (notice["event"], notice["exit_code"]) == ("peer_lost", 76) and notice["step"] >= 14


def listens(address: str) -> bool:
    """Whether TensorFlow's runtime of a worker is there, or comes up."""
    host, port = address.split(":")
    with socket.socket() as trial:
        return trial.connect_ex((host, int(port))) == 0


def test_one_that_is_killed_before_the_first_step_is_missed_by_all(tmp_path):
    """In the start of TensorFlow's runtime, which would wait for it for an hour."""
    with jobs.job(tmp_path / "run", ENDLESS) as live:
        assert live[1].until(lambda: listens(live.addresses[0]))  # so that it has met the other
        live[0].send(signal.SIGKILL)
        live.all_lose(0)


def test_one_that_is_stuck_is_named_by_all_and_every_ones_stacks_are_kept(tmp_path):
    """Its process lives and speaks, but it never comes forward."""
    model = ("--model=models_for_tests:waits", "--soft_device_placement")
    environment = commands.environment(STUCK=str(tmp_path / "stuck"))
    with jobs.job(tmp_path / "run", ENDLESS, SOON, *model, options={1: {"env": environment}}) as live:
        assert live.until_step(14)
        (tmp_path / "stuck").touch()
        lines = live.all_end_with(ExitCode.PEER_LOST)
        assert all("behind is worker 1 in training of step " in line for line in lines), lines
        for index in range(2):
            log = live.log(index)
            assert all(f"worker {each}: {{" in log for each in range(2))
            assert "in advance" in log and "Thread" in log
        assert "in _wait" in live.log(1)
    [lost] = [event for event in RunDirectory(tmp_path / "run").history().events if event["event"] == "peer_lost"]
    assert "behind is worker 1" in lost["why"]


def test_one_that_does_not_come_is_named(tmp_path):
    with jobs.job(tmp_path / "run", ALL_STEPS, "--start_timeout=5", workers=4, absent=[1]) as live:
        lines = live.all_end_with(ExitCode.PEER_LOST)
        missing = f"worker 1 ({live.addresses[1]}) did not come within 5 s"
    assert all(missing in line for line in lines), lines
    assert not (tmp_path / "run").exists()


def test_a_port_in_use_is_named(tmp_path):
    [address] = jobs.local_addresses(1)
    host, port = address.split(":")
    with socket.socket() as holder:
        holder.bind((host, int(port)))
        holder.listen()
        addresses = f"--worker_addresses={address},{host}:1"
        told = commands.refuse(
            ExitCode.USAGE, "train", *commands.SMALL, f"--run_dir={tmp_path}/run", addresses, "--worker_index=0"
        )
    assert told.startswith(f"usage: port {port} of {host} cannot be used (Address already in use); end what uses it")
    assert not (tmp_path / "run").exists()


def test_workers_with_other_flags_are_told_the_difference(tmp_path):
    with jobs.job(tmp_path / "run", ALL_STEPS, own={1: ["--seed=2"]}) as live:
        lines = live.all_end_with(ExitCode.USAGE)
    known = ("workers 0 and 1 were started with different flags: seed 1 and 2; make them equal", "1 and 0", "2 and 1")
    assert all(known[0] in line or (known[1] in line and known[2] in line) for line in lines), lines
    assert not (tmp_path / "run").exists()


# --- bad data on one of them ---


def images(directory) -> None:
    """64 images in two classes, at DIRECTORY/images."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), dtype=np.uint8)
    for i, image in enumerate(pixels):
        write(directory / "images" / "ab"[i % 2] / f"{i}.png", image)


def test_bad_data_of_one_ends_all(tmp_path):
    images(tmp_path / "0")
    shutil.copytree(tmp_path / "0", tmp_path / "1")
    torn = tmp_path / "1" / "images" / "b" / "9.png"
    torn.write_bytes(torn.read_bytes()[:60])
    data = ("--source=folder:images", "--validation_fraction=0.1", "--model=softmax", "--global_batch=4")
    places = {index: {"cwd": tmp_path / str(index)} for index in range(2)}
    flags = ("--grad_shards=2", "--eval_every=0", "--summary_every=0", "--steps=60")
    with jobs.job(tmp_path / "run", *data, *flags, options=places) as live:
        lines = live.all_end_with(ExitCode.BAD_DATA)
    assert lines[1].startswith("bad data: images/b/9.png ")
    assert lines[0].startswith("bad data: worker 1 (") and lines[0].endswith(lines[1].removeprefix("bad data: "))


def test_other_examples_on_one_are_noticed_before_the_first_step(tmp_path):
    own = {1: {"cwd": tmp_path / "1"}, 0: {"cwd": tmp_path / "0"}}
    images(tmp_path / "0")
    shutil.copytree(tmp_path / "0", tmp_path / "1")
    (tmp_path / "1" / "images" / "b" / "9.png").unlink()
    data = ("--source=folder:images", "--validation_fraction=0.1", "--model=softmax", "--global_batch=4")
    with jobs.job(tmp_path / "run", *data, "--grad_shards=2", options=own) as live:
        lines = live.all_end_with(ExitCode.BAD_DATA)
    assert all("worker 1 found other examples in source=folder:images than worker 0" in line for line in lines)


# --- two lives of a job ---


@contextlib.contextmanager
def start(number: int, run_dir, *flags, **environment):
    """A life of a job of one worker."""
    surroundings = commands.environment(SLURM_JOB_ID="7", SLURM_RESTART_COUNT=str(number), **environment)
    live = Training(commands.start("train", *FLAGS, f"--run_dir={run_dir}", *flags, env=surroundings), run_dir)
    try:
        yield live
    finally:
        live.kill()


def test_a_later_life_of_a_job_takes_its_directory_over_from_one_that_was_stopped(straight, tmp_path):
    """It is not waited for, and leaves when it goes on."""
    run = RunDirectory(tmp_path / "run")
    with start(1, run.path, ALL_STEPS) as earlier:
        assert earlier.until_step(8)
        earlier.send(signal.SIGSTOP)
        with start(2, run.path, ALL_STEPS) as later:
            assert later.end()[::2] == (ExitCode.DONE, "")
        earlier.send(signal.SIGCONT)
        code, _, err = earlier.end()
    assert code == ExitCode.STORAGE and "was taken over by" in err
    assert_equal_runs(run.path, straight)
