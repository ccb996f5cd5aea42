"""Who is slow, by how much, and what it cost, by hand."""

import pytest

from pipeline.monitoring.pace import PERSISTENT, Look, Pace, Stragglers


def pace(steps: int, compute: float, input_s: float = 0.0, wait: float = 0.0, towers=(0.0,)) -> Pace:
    return Pace(steps, compute, input_s, wait, tuple(towers))


def test_the_slowest_is_compared_with_the_median_by_what_each_takes_itself():
    look = Look({0: pace(10, 1.0, wait=9.0), 1: pace(10, 2.0, input_s=1.0), 2: pace(20, 4.0), 3: pace(10, 1.5)})
    assert look.slowest == 1
    assert look.excess == pytest.approx(0.3 - 0.15)  # of 0.1, 0.15, 0.2 and 0.3 the lower median
    assert look.share == pytest.approx(1.0)
    assert look.lost() == pytest.approx(1.5)
    assert Look({0: pace(10, 1.0), 1: pace(10, 3.0)}).share == pytest.approx(2.0)  # of two, the faster
    assert Look({0: pace(10, 1.0)}).excess == 0


def test_the_slowest_tower_may_be_of_another_worker():
    look = Look({0: pace(10, 1.0, towers=(0.5, 0.9)), 1: pace(20, 8.0, towers=(1.0, 1.0))})
    assert (look.slowest, look.slowest_tower) == (1, (0, 1))


def test_each_look_is_at_the_steps_since_the_last_and_losses_add_up():
    stragglers = Stragglers(share=0.5)
    first = stragglers.look({0: pace(10, 1.0), 1: pace(10, 2.0)})
    assert first is not None and first.lost() == pytest.approx(1.0)
    assert stragglers.look({0: pace(10, 1.0), 1: pace(20, 9.0)}) is None  # nothing was heard of worker 0 since
    second = stragglers.look({0: pace(30, 5.0), 1: pace(30, 4.0)})
    assert second is not None and (second.slowest, second.paces[0]) == (0, pace(20, 4.0))
    assert stragglers.lost == pytest.approx({1: 1.0, 0: 2.0})


def test_a_worker_that_stays_slow_is_named_once():
    stragglers, told, total = Stragglers(share=0.5), [], 0.0
    for number in range(1, 3 * PERSISTENT):
        total += 1.4 if number == 2 else 1.6  # the second time it is within the share
        stragglers.look({0: pace(number, float(number)), 1: pace(number, total)})
        told.append(stragglers.newly_slow())
    assert told == [None] * (1 + PERSISTENT) + [1] + [None] * (3 * PERSISTENT - 3 - PERSISTENT)


@pytest.mark.parametrize(
    "numbers", [None, {}, [], [1, 1.0, 0.0, 0.0], [1, -1.0, 0, 0, 0], [1, "1", 0, 0, 0], [True] * 5]
)
def test_what_is_no_pace_is_none(numbers):
    assert Pace.read(numbers, 1) is None


def test_a_pace_travels_as_numbers():
    told = pace(3, 1.5, 0.25, 0.125, (0.5,))
    assert Pace.read(told.numbers(), 1) == told
