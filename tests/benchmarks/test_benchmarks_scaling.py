"""Workers side by side: which layouts there are, and the table of them."""

import argparse

import pytest

from benchmarks import scaling
from benchmarks.layouts import FAST, MULTI_WORKER_MIRRORED, OURS, Layout, Outcome, cores_of


def test_every_number_of_workers_stands_beside_one_worker_on_the_same_cores_and_beside_the_peer():
    options = argparse.Namespace(workers=[1, 2, 4], batch=10, all_reduce=["exact"])
    assert scaling.layouts(options, cores=8) == [
        Layout(OURS, 1, 2, 10),
        Layout(OURS, 2, 2, 20),
        Layout(OURS, 1, 4, 20),
        Layout(MULTI_WORKER_MIRRORED, 2, 2, 20),
        Layout(OURS, 4, 2, 40),
        Layout(OURS, 1, 8, 40),
        Layout(MULTI_WORKER_MIRRORED, 4, 2, 40),
    ]


def test_both_ways_to_add_stand_side_by_side_where_workers_share_the_cores():
    options = argparse.Namespace(workers=[4], batch=10, all_reduce=["fast", "exact"])
    assert scaling.layouts(options, cores=2) == [
        Layout(OURS, 4, 1, 40),
        Layout(FAST, 4, 1, 40),
        Layout(OURS, 1, 2, 40),
        Layout(MULTI_WORKER_MIRRORED, 4, 1, 40),
    ]


def test_workers_beyond_the_cores_share_them_in_turn(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5, 7, 9})
    assert cores_of(2, 3) == [[3, 5], [7, 9], [3, 5]]
    assert Layout(OURS, 3, 2, 30).cores == 4


def outcome(speed: float, **seconds: float) -> Outcome:
    return Outcome(speed, {"compute": 1.0, "reduction": 0.0, "input": 0.0} | seconds if seconds else {})


MEASURED = {
    Layout(OURS, 1, 1, 10): [outcome(100, compute=1), outcome(200, compute=1)],
    Layout(OURS, 2, 1, 20): [outcome(150, reduction=1), outcome(320, reduction=1)],
    Layout(OURS, 1, 2, 20): [outcome(200, compute=1), outcome(320, compute=1)],
    Layout(MULTI_WORKER_MIRRORED, 2, 1, 20): [outcome(100), outcome(200)],
}


def test_a_row_has_the_ratio_to_one_worker_on_the_same_cores_and_to_as_many_times_one():
    _, two, one, peer = scaling.rows(MEASURED)
    assert two[:5] == ["2", "ours", "2 workers x 1", "20", "235"]
    assert two[5:] == ["0.88", "0.78", "50%", "50%", "0%"]  # of 0.75 and 1; of 0.75 and 0.8
    assert one[5:7] == ["1.00", "1.00"]
    assert peer[5:] == ["0.56", "0.50", "", "", ""]


def test_each_pair_of_our_own_is_compared_once():
    exact, fast = Layout(OURS, 2, 1, 20), Layout(FAST, 2, 1, 20)
    [compared] = scaling.comparisons({exact: [outcome(90)], fast: [outcome(100)]})
    assert (compared.contender, compared.against) == ("ours, 2 workers x 1", "ours, fast, 2 workers x 1")
    assert compared.ratio == 0.9


def test_comparisons_are_on_the_same_cores_and_batch():
    pairs = {(c.contender, c.against): c.ratio for c in scaling.comparisons(MEASURED)}
    assert pairs == {
        ("ours, 2 workers x 1", "ours, 1 worker x 2"): 0.875,
        ("ours, 2 workers x 1", "MultiWorkerMirroredStrategy, 2 workers x 1"): 1.55,
    }


def test_more_workers_than_cores_are_refused(capsys):
    with pytest.raises(SystemExit):
        scaling.parse(["--workers=1,10000"])
    assert "give at most" in capsys.readouterr().err
    assert scaling.parse(["--workers=1,10000", "--shared_cores"]).workers == [1, 10000]


@pytest.mark.parametrize("wrong", ["--link=fast", "--all_reduce=exact,slow"])
def test_what_no_layout_has_is_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        scaling.parse(["--workers=1", wrong])
    assert wrong.split("=")[1].split(",")[-1] in capsys.readouterr().err
