"""--repeat and sweeps, with real runs: what they leave, that they go on, and what ends them."""

import json
import re
import shutil
import signal
import time

import commands
import pytest

from pipeline.errors import ExitCode

SMALL = ("--source=fake:600", "--model=softmax", "--steps=20", "--checkpoint_every=5", "--eval_every=10")
SMALL += ("--eval_batch=50", "--intra_op_threads=2")
GRID = ("--vary=learning_rate=0.01,1e38", "--vary", "optimizer=adam,sgd", "--sweep_dir=S")


def last_line(told: str) -> dict:
    return json.loads(told.splitlines()[-1])


def results(directory) -> list[dict]:
    return [json.loads(line) for line in (directory / "results.jsonl").open()]


def shas(told: str) -> list[str]:
    return re.findall(r'^{"event": "result".*"parameters_sha256": "(\w+)"}$', told, re.MULTILINE)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The directory above a finished sweep S, and what it printed. Not to be changed."""
    directory = tmp_path_factory.mktemp("sweep")
    ended = commands.run("sweep", *SMALL, *GRID, cwd=directory)
    assert ended.returncode == 0
    return directory, ended.stdout


def test_repeated_seeds_are_runs_of_their_own(tmp_path):
    told = commands.succeed("train", *SMALL, "--seed=4", "--repeat=2", "--run_dir=R", cwd=tmp_path)
    alone = commands.succeed("train", *SMALL, "--seed=5", "--run_dir=alone", cwd=tmp_path)
    summary = last_line(told)
    assert summary["parameters_sha256"]["5"] == last_line(alone)["parameters_sha256"]
    assert summary["parameters_sha256"]["4"] != summary["parameters_sha256"]["5"]
    assert list(summary["parameters_sha256"].values()) == shas(told)
    assert (tmp_path / "R/seed-5/config.flags").read_text() == (tmp_path / "alone/config.flags").read_text()
    lines = [json.loads((tmp_path / f"R/seed-{seed}/metrics.jsonl").read_text().splitlines()[-1]) for seed in (4, 5)]
    mean = sum(line["test_accuracy"] for line in lines) / 2
    deviation = abs(lines[0]["test_accuracy"] - lines[1]["test_accuracy"]) / 2**0.5
    assert summary["test_accuracy"] == pytest.approx({"mean": mean, "deviation": deviation})

    again = commands.succeed("train", *SMALL, "--seed=4", "--repeat=3", "--run_dir=R", cwd=tmp_path)
    assert again.count("done already") == 2 and len(shas(again)) == 1
    assert last_line(again)["finished"] == 3


def test_a_sweep_records_what_diverged_and_goes_on(swept):
    directory, told = swept
    lines = results(directory / "S")
    assert [line["status"] for line in lines] == ["finished", "finished", "diverged", "diverged"]
    assert [line["varied"] for line in lines[2:]] == [{"learning_rate": 1e38, "optimizer": o} for o in ("adam", "sgd")]
    assert lines[0]["validation_accuracy"] >= lines[1]["validation_accuracy"]
    assert last_line(told) == {"event": "sweep", "runs": 4, "finished": 2, "diverged": 2, "best": lines[0]}
    assert sorted(line["parameters_sha256"] for line in lines[:2]) == sorted(shas(told))
    for line in lines:
        flags = (directory / "S" / line["run"] / "config.flags").read_text()
        assert all(f"--{name}={value}\n" in flags for name, value in line["varied"].items())


def test_a_sweep_that_is_done_says_so_and_trains_nothing(swept):
    directory, told = swept
    before = {path: content for path, content in commands.contents(directory).items() if "results" not in path}
    again = commands.succeed("sweep", *SMALL, *GRID, cwd=directory)
    assert again.count(": done already\n") == 4
    assert again[again.index("\nrun  ") :] == told[told.index("\nrun  ") :]
    assert {path: content for path, content in commands.contents(directory).items() if "results" not in path} == before


def test_a_sweep_ended_by_a_signal_goes_on(swept, tmp_path):
    _, straight = swept
    slow = tuple(flag for flag in GRID if "1e38" not in flag)
    arguments = (*SMALL, "--vary=learning_rate=0.01", *slow)
    process = commands.start("sweep", *arguments, f"--sweep_dir={tmp_path}/S")
    first = tmp_path / "S" / "learning_rate=0.01,optimizer=adam" / "metrics.jsonl"
    while not first.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == ExitCode.PREEMPTED
    assert errors.splitlines()[-1] == "preempted: SIGTERM; the same command goes on from there"
    told = commands.succeed("sweep", *arguments, f"--sweep_dir={tmp_path}/S")
    ended = [line for line in results(tmp_path / "S")]
    assert sorted(line["parameters_sha256"] for line in ended) == sorted(shas(straight))
    assert last_line(told)["finished"] == 2


def test_a_sweep_that_is_killed_takes_its_run_with_it_and_goes_on(swept, tmp_path):
    _, straight = swept
    arguments = (*SMALL, "--vary=learning_rate=0.01", "--vary=optimizer=adam", f"--sweep_dir={tmp_path}/S")
    process = commands.start("sweep", *arguments)
    run = tmp_path / "S" / "learning_rate=0.01,optimizer=adam"
    while not (run / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=100)  # the run holds stdout too: it is gone where this returns
    commands.succeed("sweep", *arguments)
    [line] = results(tmp_path / "S")
    assert line["parameters_sha256"] in shas(straight)


def test_an_array_task_makes_its_run_alone(tmp_path):
    listed = commands.succeed("sweep", *SMALL, *GRID, "--array", cwd=tmp_path)
    assert listed.splitlines()[1] == "1  learning_rate=0.01,optimizer=sgd  not started"
    assert re.fullmatch(r"sbatch --array=0-3 .*--wrap='exec .* -m pipeline\.sweep .*--array'", listed.splitlines()[-1])
    assert commands.contents(tmp_path) == {}
    task = commands.environment(SLURM_ARRAY_TASK_ID="1")
    commands.succeed("sweep", *SMALL, *GRID, "--array", cwd=tmp_path, env=task)
    assert [path.name for path in (tmp_path / "S").iterdir()] == ["learning_rate=0.01,optimizer=sgd"]
    table = commands.succeed("sweep", *SMALL, *GRID, "--table", cwd=tmp_path)
    assert last_line(table)["finished"] == 1
    assert [line["status"] for line in results(tmp_path / "S")] == ["finished", *["not started"] * 3]


REFUSED = [
    ("--vary=lerning_rate=1 --sweep_dir=S", "did you mean learning_rate?"),
    ("--vary=optimizer=adam,adm --sweep_dir=S", "optimizer=adm is unknown; did you mean adam? known: sgd"),
    ("--vary=grad_shards=4,7 --sweep_dir=S", "global_batch=100 does not split into 7 shards; use"),
    ("--vary=steps=1,2", "sweep_dir= names no directory; give one for the runs of the sweep, as --sweep_dir=sweeps/"),
    ("--sweep_dir=S", "no --vary was given; name a flag and its values, as --vary=learning_rate=1e-4,1e-3"),
    ("--vary=steps=1,2 --sweep_dir=S --run_dir=R", "run_dir=R: a sweep names its runs' directories; give --sweep_dir"),
]


@pytest.mark.parametrize(("arguments", "line"), REFUSED)
def test_a_wrong_sweep_is_refused_before_anything_starts(arguments, line, tmp_path):
    told = commands.refuse(ExitCode.USAGE, "sweep", *SMALL, *arguments.split(), cwd=tmp_path)
    assert line in told
    assert commands.contents(tmp_path) == {}


def test_a_task_beyond_the_array(tmp_path):
    for task, line in (("4", "SLURM_ARRAY_TASK_ID=4 is beyond the 4 runs; use --array=0-3"), ("x", "is not a number;")):
        env = commands.environment(SLURM_ARRAY_TASK_ID=task)
        assert line in commands.refuse(ExitCode.USAGE, "sweep", *SMALL, *GRID, "--array", cwd=tmp_path, env=env)


def test_a_sweep_of_another_configuration_is_refused(swept, tmp_path):
    directory, _ = swept
    shutil.copytree(directory / "S", tmp_path / "S")
    before = commands.contents(tmp_path)
    told = commands.refuse(ExitCode.USAGE, "sweep", *SMALL, *GRID, "--global_batch=50", cwd=tmp_path)
    assert "was started with another configuration (global_batch: 100 -> 50); use its own values, or another" in told
    assert commands.contents(tmp_path) == before


def test_what_ends_a_run_ends_the_series(tmp_path):
    ended = commands.run("train", *SMALL, "--model=no_such:thing", "--repeat=2", "--run_dir=R", cwd=tmp_path)
    assert ended.returncode == ExitCode.USAGE
    assert "module no_such cannot be imported" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("usage: seed-1 stopped the series, as it says above; when that is")
    assert "seed-2" not in ended.stdout


def test_a_seed_that_diverges_leaves_the_others_and_tells(tmp_path):
    arguments = ("--optimizer=sgd", "--learning_rate=1e38", "--repeat=2", "--run_dir=R")
    ended = commands.run("train", *SMALL, *arguments, cwd=tmp_path)
    assert ended.returncode == ExitCode.DIVERGED
    assert ended.stderr.splitlines()[-1].startswith("diverged: seed-1, seed-2 of 2 runs; lower --learning_rate")
    assert last_line(ended.stdout)["finished"] == 0 and last_line(ended.stdout)["test_accuracy"] is None
