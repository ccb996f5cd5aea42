"""Time is counted once, whatever it was spent on."""

import time

import pytest

from pipeline.monitoring.clock import INSIDE_TRAINING, Clock


def test_phases_are_counted_once_and_add_up_to_the_time_that_passed():
    clock = Clock()
    with clock.timing("training"):
        time.sleep(0.05)
    for phase in INSIDE_TRAINING:
        clock.seconds[phase] += 0.01
    with clock.timing("saving"):
        time.sleep(0.02)
    split = clock.split()
    assert split["other"] >= 0 and sum(split.values()) <= clock.elapsed()
    assert split["compute"] == pytest.approx(clock.seconds["training"] - 0.02)
    assert split["input"] == 0.01
    assert split["saving"] == clock.seconds["saving"] >= 0.02
    assert split["evaluation"] == split["start"] == 0


def test_shares_are_of_the_time_since_the_last_look():
    clock = Clock()
    with clock.timing("evaluation"):
        time.sleep(0.02)
    first = clock.recent_shares()
    assert first["evaluation"] > 0.5
    with clock.timing("training"):
        time.sleep(0.02)
    lately = clock.recent_shares()
    assert sum(lately.values()) == pytest.approx(1)
    assert lately["evaluation"] == 0
    assert lately["compute"] > 0.5


def test_speed_counts_training_alone():
    clock = Clock()
    assert clock.images_per_second() == 0
    with clock.timing("training"):
        time.sleep(0.02)
    time.sleep(0.02)
    clock.images += 100
    assert 100 / 0.04 < clock.images_per_second() <= 100 / 0.02
    assert clock.recent_images_per_second() == clock.images_per_second()
    assert clock.recent_images_per_second() == 0
