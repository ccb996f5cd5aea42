"""Ratios against a stored baseline."""

import json

import pytest

from benchmarks import check
from benchmarks.check import Ratio

MACHINE = {"processor": "P", "cores": 4, "gpus": []}


def figures(ratio: float, seconds: float = 1.0, **changes) -> dict:
    """A benchmark's JSON with one ratio of speeds and one of seconds."""
    names = {"contender": "ours", "against": "peer", "batch": 50}
    speeds = {"quantity": "images/s", "ratio": ratio, "less_is_better": False, **names}
    starts = {"quantity": "s", "ratio": seconds, "less_is_better": True, **names}
    return {**MACHINE, "tensorflow": "2.21.0", "comparisons": [speeds, starts], **changes}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """The check of these figures against a baseline in a file: its exit code and what it printed."""
    numbers = iter(range(100))

    def run(*all_figures: dict, store: bool = False) -> tuple[int, str]:
        files = [tmp_path / f"{next(numbers)}.json" for _ in all_figures]
        for file, one in zip(files, all_figures, strict=True):
            file.write_text(json.dumps(one))
        options = [*map(str, files), f"--baseline={tmp_path / 'baseline.json'}", *(["--store"] if store else [])]
        monkeypatch.setattr("sys.argv", ["check", *options])
        return check.main(), capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("speed", "seconds", "code"),
    [(1.81, 1.09, 0), (1.79, 1.0, 1), (2.0, 1.12, 1), (9.0, 0.1, 0), (2.0, 1.0, 0)],
    ids=["worse by less", "slower", "a later start", "better", "equal"],
)
def test_it_ends_with_1_if_a_ratio_is_worse_by_more_than_a_tenth(run, speed, seconds, code):
    assert run(figures(2.0), store=True)[0] == 0
    assert run(figures(speed, seconds))[0] == code


def test_it_names_what_got_worse_and_which_versions_differ(run):
    run(figures(2.0), store=True)
    _, said = run(figures(1.0, tensorflow="2.22.0"))
    assert "tensorflow was 2.21.0 for the baseline, and is 2.22.0" in said
    assert "images/s: ours / peer, batch 50  2.00      1.00  -50%    WORSE" in said
    assert "1 of 2 got worse by more than 10%" in said


def test_another_machine_has_a_baseline_of_its_own(run, tmp_path):
    run(figures(2.0), store=True)
    assert run(figures(1.0, cores=8))[0] == 2
    run(figures(1.0, cores=8), store=True)
    assert run(figures(1.0, cores=8))[0] == 0
    assert run(figures(1.0))[0] == 1
    assert len(json.loads((tmp_path / "baseline.json").read_text())) == 2


def test_what_is_stored_again_is_replaced_and_what_was_not_measured_stays(run):
    run(figures(2.0), store=True)
    other = figures(3.0)
    other["comparisons"] = other["comparisons"][:1]
    run(other, store=True)
    assert run(figures(3.0, seconds=2.0))[0] == 1
    assert run(figures(2.0))[0] == 1
    assert "not measured" in run(other)[1]


def test_figures_of_several_benchmarks_are_one_check_unless_machines_differ(run):
    second = figures(1.0)
    for comparison in second["comparisons"]:
        comparison["batch"] = 100
    assert "4 ratios stored" in run(figures(2.0), second, store=True)[1]
    with pytest.raises(SystemExit, match="different machines"):
        run(figures(2.0), figures(2.0, cores=8))


def test_better_is_more_or_less():
    assert Ratio(1.1, False).gain_since(Ratio(1.0, False)) == pytest.approx(0.1)
    assert Ratio(0.5, True).gain_since(Ratio(1.0, True)) == pytest.approx(1.0)


def test_figures_that_are_not_there_are_named(capsys):
    with pytest.raises(SystemExit, match="2"):
        check.parse(["nowhere.json"])
    assert "nowhere.json: no such file; give what --json of a benchmark wrote" in capsys.readouterr().err
