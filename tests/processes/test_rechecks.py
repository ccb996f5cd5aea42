"""A device that computes wrong numbers is found at the next recheck, named, and nothing of it stays in the run."""

import socket

import commands
import jobs
import trainings

from pipeline.errors import ExitCode
from pipeline.runs.run_directory import RunDirectory

FLAGS = (
    *("--source=fake:300", "--model=models_for_tests:lies", "--grad_shards=6", "--steps=16"),
    *("--checkpoint_every=2", "--recheck_every=4", "--eval_every=0", "--keep_checkpoints=1"),
)


def events(run_dir, name: str) -> list[dict]:
    return [event for event in RunDirectory(run_dir).history().events if event["event"] == name]


def test_a_wrong_tower_is_named_and_the_run_goes_on_without_it_to_the_same_bits(tmp_path):
    flags = (*trainings.FLAGS, *FLAGS, "--towers=3", f"--run_dir={tmp_path / 'run'}")
    commands.succeed("train", *flags, "--steps=9")
    liar = commands.environment(LIAR="device:CPU:1")
    line = commands.refuse(ExitCode.DIVERGED, "train", *flags, env=liar)
    host = socket.gethostname()
    assert line.startswith("diverged: at step 11 shard "), line
    assert f"By a third computation cpu:1 of worker 0 on {host} is wrong. Checkpoints since" in line
    assert "set aside as damaged-ckpt-10. Take" in line
    assert line.endswith("goes on from the checkpoint of step 8")
    [event] = events(tmp_path / "run", "corrupted")
    assert (event["step"], event["devices"]) == (11, f"cpu:1 of worker 0 on {host}")
    commands.succeed("train", *flags)
    straight = trainings.train(tmp_path / "straight", *FLAGS, "--recheck_every=0")
    result = RunDirectory(tmp_path / "run").history().result
    assert result["parameters_sha256"] == straight["parameters_sha256"]
    assert [event["step"] for event in events(tmp_path / "run", "recheck")] == [4, 8, 12, 16]


def test_a_wrong_worker_is_named_by_all(tmp_path):
    liar = {"env": commands.environment(LIAR="task:1/device:CPU:0")}
    with jobs.job(tmp_path, *FLAGS, workers=3, options={1: liar}) as job:
        lines = job.all_end_with(ExitCode.DIVERGED)
    assert len(set(lines)) == 1
    assert f"By a third computation cpu:0 of worker 1 on {socket.gethostname()} is wrong" in lines[0]
    assert "start anew in another --run_dir: no checkpoint was saved before a recheck" in lines[0]
