"""The benchmarks as their commands run them, on little work: that everyone trains the same model, and learns."""

import json
import math
import os
import subprocess
import sys

import commands
import pytest
from cluster import hosts

from benchmarks import recipes
from benchmarks.groups import NO_PYTORCH
from benchmarks.machine import peers_python

CONTENDERS = ("ours", "keras_fit_many_steps", "mirrored_loop", "feed_dict", "pytorch", "handwritten_pooled")


def run(module: str, *arguments: str) -> str:
    """What the command prints. One thread for PyTorch: its threads wait for each other by spinning."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    environment = commands.environment(OMP_NUM_THREADS="1")
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_contenders_train_the_same_model_and_learn(tmp_path):
    chosen = [
        "--source=fake:60",
        "--precisions=float32",
        f"--contenders={','.join(CONTENDERS)}",
        "--sections=one,several",
    ]
    length = ["--batches=20", "--rounds=1", "--images=400", "--devices=2", "--devices_batch=20"]
    said = run("peers", *chosen, *length, f"--json={tmp_path / 'figures.json'}")
    [group] = json.loads((tmp_path / "figures.json").read_text())["groups"]
    results = [result for result in group["results"] if not result["unavailable"]]
    expected = [(name, 1) for name in CONTENDERS] + [("ours", 2), ("mirrored_loop", 2)]
    if not peers_python().exists():
        expected.remove(("pytorch", 1))
        assert f"PyTorch, eager: left out: {NO_PYTORCH}" in said
    assert [(result["name"], result["num_devices"]) for result in results] == expected
    assert {result["num_parameters"] for result in results} == {3_274_634}
    # Its classes are as many, and its images random: without having learned them nobody gets below log(10).
    losses = {result["label"]: result["losses"][-1] for result in results}
    assert max(losses.values()) < math.log(10), losses
    assert all(len(result["images_per_s"]) == 1 and result["peak_bytes"] > 2**27 for result in results)
    run("plot", str(tmp_path / "figures.json"), str(tmp_path / "peers.svg"))
    assert (tmp_path / "peers.svg").read_text().count("<rect") == len([r for r in results if r["num_devices"] == 1])


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two workers need two cores")
def test_workers_stand_beside_one_worker_and_the_peer(tmp_path):
    """Behind links of a rate, where there can be such links."""
    link = [] if hosts.missing_links("1gbit") else ["--link=1gbit"]
    length = ["--source=fake:600", "--workers=2", "--batch=8", "--steps=14", "--rounds=1", *link]
    said = run("scaling", *length, f"--json={tmp_path / 'figures.json'}")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [(one["program"], one["num_workers"]) for one in figures["layouts"]] == [
        ("ours", 2),
        ("ours", 1),
        ("MultiWorkerMirroredStrategy", 2),
    ]
    ours, alone, _ = [one["outcomes"][0]["seconds"] for one in figures["layouts"]]
    assert ours["reduction"] > 0 == alone["reduction"]
    assert len(figures["comparisons"]) == 2 and said.count("2 workers x") >= 2


def test_of_all_recipes_the_long_one_is_run_in_the_middle():
    assert recipes.runs(2) == [("mnist_fast", 1), ("mnist_deep", 1), ("mnist_fast", 2)]


def test_recipes_are_timed_in_one_run(tmp_path):
    said = run("recipes", "--source=fake:300", "--seeds=1", "--steps=12", f"--json={tmp_path / 'figures.json'}")
    outcomes = json.loads((tmp_path / "figures.json").read_text())["outcomes"]
    assert [(one["config"], one["seed"]) for one in outcomes] == [("mnist_deep", 1), ("mnist_fast", 1)]
    assert all(one["training_s"] > 0 for one in outcomes)
    assert "mnist_deep takes " in said


def test_ways_to_compute_parts_of_a_step_are_timed_side_by_side():
    said = run("kernels", "--batches=2", "--rounds=1", "--images=4")
    table = said.splitlines()[3:]
    assert len(table) == 20 and sum("BatchMatMul" in line for line in table) == 2
    assert sum(line.startswith("GELU") and " XLA " in line for line in table) == 2
