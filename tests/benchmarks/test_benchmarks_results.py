"""Speeds side by side: ratios, shares of the ceiling, tables, goals and the picture of them."""

import dataclasses
import json
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks import facts, goals, plot, results
from benchmarks.comparison import Comparison
from benchmarks.contenders import plain_keras
from benchmarks.facts import Facts
from benchmarks.groups import Measure
from benchmarks.results import Group, Result
from benchmarks.roster import PRODUCTS, ROSTER
from benchmarks.task import Task

OURS = Result("ours", "ours", 1, False, [300.0, 330.0, 200.0], [1.0], 7, 50 * 2**20)
SLOW = Result("slow", "a slow peer", 1, True, [100.0, 100.0, 100.0])
PEER = Result("peer", "a peer", 1, True, [200.0, 150.0, 200.0])
TRICKY = Result("tricky", "not a peer *", 1, False, [900.0, 900.0, 900.0])
FOUR = Result("ours", "ours", 4, False, [280.0, 280.0, 280.0])
FOUR_PEER = Result("peer", "a peer", 4, True, [140.0, 200.0, 100.0])
LACKING = Result("lacking", "a lacking one", 1, True, unavailable="it lacks a compiler")
GROUP = Group(
    "float32",
    512,
    1000,
    [SLOW, OURS, PEER, TRICKY, FOUR, FOUR_PEER, LACKING],
    {"TensorFlow": [400e3, 600e3, 500e3], "PyTorch": [450e3, 100e3, 100e3]},
)


def test_the_ratio_is_the_median_of_the_rounds_own_ratios():
    assert OURS.ratio_to(PEER) == 1.5  # of 1.5, 2.2 and 1.0; the medians' ratio is the same, that of the next is not
    assert PEER.ratio_to(OURS) == 200 / 300
    assert FOUR.ratio_to(FOUR_PEER) == 2.0


def test_the_best_peer_is_one_that_ran_on_as_many_devices_and_is_a_peer():
    assert GROUP.best_peer() == PEER
    assert GROUP.best_peer(4) == FOUR_PEER
    assert GROUP.best_peer(2) is None


def test_the_ceiling_is_the_faster_product_and_the_share_is_of_it():
    assert GROUP.ceiling == ("TensorFlow", [400e3, 600e3, 500e3])
    assert GROUP.share_of_ceiling(OURS) == 300 * 1000 / 500e3


def test_the_table_has_the_fastest_first_and_says_who_was_left_out_and_why():
    title, header, _, *lines, left_out = results.table([GROUP]).splitlines()
    assert title == "float32: matrix products at 0 through TensorFlow, 0 through PyTorch GFLOP/s"
    assert header.split("  ")[0] == "batch"
    assert [line.split()[-1 if line.endswith("%") else 0] for line in lines] == ["512"] * 6
    assert [line[7:20].strip() for line in lines][:3] == ["not a peer *", "ours", "ours"]
    ours = next(line for line in lines if " 300 " in line).split()
    assert ours == ["512", "ours", "1", "300", "1706.67", "1.50", "60%", "50.0"]
    assert left_out == "a lacking one: left out: it lacks a compiler"


def test_a_group_survives_json():
    written = json.dumps(GROUP.as_dict())
    again = Group.from_dict(json.loads(written))
    assert json.dumps(again.as_dict()) == written
    assert results.table([again]) == results.table([GROUP])


def test_goals_are_of_ours_beside_the_best_peer_the_ceiling_and_one_tower():
    rows = {(c.contender, c.against): (c.ratio, c.goal) for c in goals.comparisons(GROUP)}
    assert rows == {
        ("ours", "best peer"): (1.5, ">= 1.10"),
        ("ours", "matrix product"): (pytest.approx(0.55), ">= 0.65"),  # of 0.75, 0.55 and 0.4
        ("ours, 4 devices", "best peer, 4 devices"): (2.0, ">= 1.40"),
        ("ours, 4 devices", "ours"): (pytest.approx(280 / 300), ">= 0.97"),
    }
    assert list(goals.comparisons(dataclasses.replace(GROUP, results=[PEER]))) == []


def test_goals_of_an_evaluation_are_of_the_best_peer_and_of_the_training_in_the_same_rounds():
    training = Result("ours_training", "ours, training", 1, False, [100.0, 110.0, 100.0])
    group = dataclasses.replace(GROUP, results=[OURS, PEER, training], products_flops_per_s={}, evaluates=True)
    rows = {c.against: (c.quantity, c.ratio, c.goal) for c in goals.comparisons(group)}
    quantity = "images/s, evaluation in float32"
    assert rows == {"best peer": (quantity, 1.5, ""), "ours, training": (quantity, 3.0, ">= 2.50")}
    of_another = [c.goal for c in goals.comparisons(dataclasses.replace(group, model="resnet20"))]
    assert of_another == [">= 1.20", ">= 2.50"]


def test_other_models_have_one_goal_at_every_batch_and_none_of_the_small_ones():
    group = dataclasses.replace(GROUP, model="resnet50", results=[OURS, PEER, FOUR, FOUR_PEER])
    of_512 = {(c.contender, c.against): c.goal for c in goals.comparisons(group)}
    expected = {("ours", "best peer"): ">= 1.20", ("ours", "matrix product"): ""}
    assert of_512 == expected | {("ours, 4 devices", "best peer, 4 devices"): "", ("ours, 4 devices", "ours"): ""}
    of_16 = next(goals.comparisons(dataclasses.replace(group, batch=16, precision="bfloat16")))
    assert of_16.goal == ">= 1.20"


def test_a_comparison_as_json_says_what_a_baseline_needs():
    told = Comparison("s", "ours", "other", 1, [1.0, 2.0, 9.0], [2.0, 2.0, 3.0], "<= 1", less_is_better=True).as_dict()
    assert (told["ratio"], told["ratios"], told["less_is_better"]) == (1.0, [0.5, 1.0, 3.0], True)


def test_the_work_of_an_example_is_computed_from_the_model():
    model = plain_keras.model(Task("", 1), (28, 28, 1), 10)
    first, second = 2 * 25 * 32 * 28 * 28, 2 * 25 * 32 * 64 * 14 * 14
    dense = 2 * 7 * 7 * 64 * 1024 + 2 * 1024 * 10
    assert facts.training_flops(model) == 2 * first + 3 * (second + dense) == 82_049_024
    assert sum(facts.products_flops(model)) == first + second + dense
    assert model.count_params() == 3_274_634


def test_names_are_unique_and_only_our_own_work_is_no_peer():
    names = [entry.name for entry in (*ROSTER, *PRODUCTS)]
    assert len(set(names)) == len(names)
    assert all(entry.label.endswith("*") or entry.contender == "ours" for entry in ROSTER if not entry.is_peer)


def test_a_contenders_task_has_its_devices_and_interpreter():
    entries, base = {entry.name: entry for entry in ROSTER}, Task("", 64, precision="bfloat16")
    shared = entries["ours_replicated"].task(base, ["cpu:0", "cpu:1"])
    assert (shared.contender, shared.tower_devices, shared.variables) == ("ours", "cpu:0,cpu:1", "replicated")
    assert entries["ours_float32"].task(base).precision == "float32"
    assert entries["pytorch"].task(base).python.endswith(".venv-peers/bin/python")
    assert entries["feed_dict"].task(base).python == ""


def test_contenders_of_an_evaluation_are_those_that_can_and_the_training_beside_them():
    measure = Measure(Facts(0, 7, 3, 1), "2", [entry.name for entry in ROSTER], 4, 64, True, 1, 100)
    tasks = {entry.name: task for entry, task in measure._tasks(Task("", 64, model="resnet20", evaluates=True))}
    assert tasks.keys() - {"ours_training"} == {entry.name for entry in ROSTER if entry.evaluation} - {"ours_float32"}
    assert [name for name, task in tasks.items() if not task.evaluates] == ["ours_training"]
    assert tasks["pytorch_compiled_channels_last"].contender == "pytorch:compiled_channels_last"
    trained = measure._tasks(Task("", 64, model="resnet20"))
    assert len({entry.name for entry, _ in trained} - tasks.keys()) > 5 and not any(t.evaluates for _, t in trained)


def test_the_picture_has_a_bar_for_each_contender_on_one_device_in_proportion():
    wide = dataclasses.replace(GROUP, batch=50, results=[OURS, PEER])
    evaluated = dataclasses.replace(GROUP, evaluates=True)  # not in the picture
    about = {"cores": 4, "processor": "A & B", "gpus": [], "tensorflow": "2", "keras": "3", "pytorch": ""}
    figures = about | {"options": {"rounds": 3}, "groups": [wide.as_dict(), GROUP.as_dict(), evaluated.as_dict()]}
    picture = ElementTree.fromstring(plot.picture(figures))
    bars = [e for e in picture.iter() if e.tag.endswith("rect")]
    widths = {(bar.get("class"), bar.get("y")): float(bar.get("width")) for bar in bars}
    assert len(bars) == 2 + 4
    [own] = {width for (kind, _), width in widths.items() if kind == "bar own"} - {max(widths.values())}
    assert own == pytest.approx(max(widths.values()) / 3, abs=0.1)
    texts = [e.text for e in picture.iter() if e.tag.endswith("text")]
    assert "4 cores of A & B" in texts[-1] and "900" in texts
