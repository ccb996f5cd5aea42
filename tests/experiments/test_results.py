"""Runs side by side: means, deviations, and the order from best to worst."""

import dataclasses
import json

import pytest

from pipeline.config import Config
from pipeline.experiments import repeat, results
from pipeline.experiments.grid import Run
from pipeline.experiments.results import NOT_STARTED, RunResult, Spread
from pipeline.monitoring.history import DIVERGED, FINISHED
from pipeline.runs.run_directory import RunDirectory


def run_result(rate: float, seed: int, validation: float | None, status: str = FINISHED) -> RunResult:
    run = f"learning_rate={rate}/seed-{seed}"
    test = None if validation is None else validation - 0.01
    return RunResult(run, {"learning_rate": rate}, seed, status, 10, validation, test)


def test_mean_and_deviation_of_a_sample():
    assert Spread.of([0.9, 0.92, 0.94]) == pytest.approx((0.92, 0.02))
    assert Spread.of([0.9]) == (0.9, None)
    assert Spread.of([]) is None
    assert Spread(0.92, 0.02).text("{:.1f}".format) == "0.9 ± 0.0"


def test_a_run_that_did_not_finish_is_no_part_of_a_mean():
    group = [run_result(0.1, 1, 0.9), run_result(0.1, 2, 0.5, DIVERGED), run_result(0.1, 3, 0.8)]
    assert results.spread(group, "validation_accuracy") == pytest.approx((0.85, 0.0707107), abs=1e-6)


def test_the_best_mean_on_validation_comes_first_and_the_unscored_last():
    told = [run_result(rate, seed, score) for rate, scores in
            ((3.0, (None, None)), (0.1, (0.99, 0.1)), (0.2, (0.7, 0.8)), (0.3, (0.6, 0.6)))
            for seed, score in enumerate(scores)]  # fmt: skip
    groups = results.ranked(told)
    assert [[s.varied["learning_rate"] for s in group] for group in groups] == [
        [0.2] * 2,
        [0.3] * 2,
        [0.1] * 2,
        [3.0] * 2,
    ]


def test_runs_are_ranked_by_the_metric_that_was_asked_for():
    def told(rate: float, metric: str, value: float | None) -> RunResult:
        metrics = {} if value is None else {f"validation_{metric}": value, f"test_{metric}": value / 2}
        return dataclasses.replace(run_result(rate, 1, rate), metrics=metrics, ranked_by=metric)

    for metric, order in (("f1", [0.1, 0.3, 0.2, 0.4]), ("calibration_error", [0.2, 0.3, 0.1, 0.4])):
        values = {0.1: 0.9, 0.2: 0.3, 0.3: 0.7, 0.4: None}
        groups = results.ranked([told(rate, metric, value) for rate, value in values.items()])
        assert [group[0].varied["learning_rate"] for group in groups] == order
        assert results.are_ranked(groups)
        rows = [line.split() for line in results.table([run for group in groups for run in group]).splitlines()]
        assert rows[0][:6] == ["run", "step", "validation", metric, "test", metric]
        assert rows[1][2:6] == [
            f"{values[order[0]]:.2%}",
            f"{values[order[0]] / 2:.2%}",
            f"{order[0]:.2%}",
            *rows[1][5:6],
        ]
        assert rows[4][2:4] == ["-", "-"]
    assert not results.are_ranked(results.ranked([told(0.1, "f1", None)]))


def test_without_a_score_nothing_is_best():
    assert not results.are_ranked(results.ranked([run_result(0.1, 1, None), run_result(0.2, 1, 0.9, DIVERGED)]))
    assert results.are_ranked(results.ranked([run_result(0.1, 1, None), run_result(0.2, 1, 0.9)]))


def test_tables_show_what_is_known():
    told = [run_result(0.2, 1, 0.7), run_result(0.2, 2, 0.8), run_result(3.0, 1, None, DIVERGED)]
    lines = results.table(told).splitlines()
    assert lines[0].split() == ["run", "step", "validation", "test", "test", "loss", "images/s", "time", "state"]
    assert lines[1].split() == ["learning_rate=0.2/seed-1", "10", "70.00%", "69.00%", "-", "-", "-", "finished"]
    assert lines[3].split() == ["learning_rate=3.0/seed-1", "10", "-", "-", "-", "-", "-", "diverged"]
    rows = [line.split("  ") for line in results.table_of_groups(results.ranked(told)).splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[1] == ["learning_rate=0.2", "2 of 2", "75.00% ± 7.07%", "74.00% ± 7.07%", "-", "-"]
    assert cells[2] == ["learning_rate=3.0", "0 of 1", "-", "-", "-", "-"]


def events(directory: RunDirectory, *told: dict) -> None:
    directory.metrics.write_text("".join(json.dumps(event) + "\n" for event in told))


def test_what_a_directory_tells(tmp_path):
    run = Run("a", {}, Config(steps=20, run_dir=str(tmp_path / "a")))
    assert RunResult.read(run) == RunResult("a", {}, 1, NOT_STARTED)
    directory = RunDirectory(tmp_path / "a")
    directory.path.mkdir()
    directory.record(run.config)
    start = {"event": "start", "step": 0, "time": 100.0}
    scored = {"event": "validation", "step": 10, "time": 103.5, "accuracy": 0.5, "loss": 1.0}
    events(directory, start, scored)
    unfinished = RunResult("a", {}, 1, "unfinished", 10, validation_accuracy=0.5, seconds=3.5)
    assert RunResult.read(run) == unfinished
    result = {"test_accuracy": 0.4, "test_loss": 2.0, "images_per_second": 9.0, "parameters_sha256": "ab"}
    events(directory, start, scored, {"event": "result", "step": 20, "time": 105.0, **result})
    finished = dataclasses.replace(unfinished, status=FINISHED, step=20, seconds=5.0, **result)
    assert RunResult.read(run) == finished


def test_what_a_directory_tells_of_other_metrics(tmp_path):
    asked = Config(steps=20, run_dir=str(tmp_path), metrics="f1,auroc", best_by="loss")
    RunDirectory(tmp_path).record(asked)
    told = [
        {"event": "start", "step": 0, "time": 100.0},
        {"event": "validation", "step": 10, "time": 101.0, "accuracy": 0.5, "loss": 1.0, "f1": 0.1, "auroc": 0.9},
        {"event": "validation", "step": 20, "time": 102.0, "accuracy": 0.5, "loss": 0.5, "f1": 0.2, "auroc": None},
        {"event": "test", "step": 20, "time": 103.0, "accuracy": 0.4, "loss": 2.0, "f1": 0.3, "auroc": 0.8},
        {"event": "result", "step": 20, "time": 104.0, "test_accuracy": 0.4, "test_loss": 2.0},
    ]
    events(RunDirectory(tmp_path), *told)
    found = RunResult.read(Run("a", {}, asked))
    test = {"test_f1": 0.3, "test_auroc": 0.8}
    assert found.metrics == {"validation_loss": 0.5, "validation_f1": 0.2, **test} and found.ranked_by == "loss"
    assert repeat.summary([found])["test_f1"] == {"mean": 0.3, "deviation": None}
    heading = results.table([found]).splitlines()[0].split()
    assert heading == ["run", "step", "validation", "loss", "validation", "test", *heading[6:]]
    events(RunDirectory(tmp_path), *told[:-1])
    assert RunResult.read(Run("a", {}, asked)).metrics == {"validation_loss": 0.5, "validation_f1": 0.2}
