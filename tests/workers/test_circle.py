"""Whom candidates call: the lowest that is there is heard by all, soon, and they are not called by all."""

import pytest

from pipeline.workers import circle

FRESH = 3  # turns for which a call holds
COUNT = 1024


class Crowd:
    """Candidates that call in turns; in each all call before anyone listens."""

    def __init__(self, present: set[int], count: int = COUNT):
        self.count, self.turn, self.calls = count, 0, 0
        self.heard: dict[int, dict[int, int]] = {k: {} for k in present}  # by whom, whom, and in which turn

    def call(self, turns: int) -> None:
        for _ in range(turns):
            self.turn, self.calls = self.turn + 1, 0
            recent = {k: [j for j, at in heard.items() if at >= self.turn - FRESH] for k, heard in self.heard.items()}
            for own, heard in recent.items():
                for other in circle.called(own, self.count, heard, self.turn):
                    self.calls += 1
                    if other in self.heard:
                        self.heard[other][own] = self.turn

    def of_the_lowest(self) -> set[int]:
        """Those that hear the lowest and are heard by it, lately."""
        lowest, oldest = min(self.heard), self.turn - FRESH
        to, by = self.heard[lowest], {k for k, heard in self.heard.items() if heard.get(lowest, -99) >= oldest}
        return {k for k in by if to.get(k, -99) >= oldest}


def test_few_call_all_others():
    for count in (2, circle.FEW):
        for own in range(count):
            assert circle.called(own, count, (), 7) == set(range(count)) - {own}


@pytest.mark.parametrize(
    ("present", "turns"),
    [
        ({*range(COUNT)}, 2),
        ({*range(40, COUNT)}, 4),  # the first rack is gone
        ({*range(500, COUNT)}, 20),
        ({3, 700}, 2),
        ({700, 900}, 33),
        ({*range(0, COUNT, 20)}, 2),
    ],
)
def test_all_that_are_there_and_the_lowest_hear_each_other_before_long_and_go_on_to(present, turns):
    crowd = Crowd(present)
    crowd.call(turns)
    for _ in range(3):
        assert crowd.of_the_lowest() == present - {min(present)}
        assert crowd.calls <= len(present) * 4 * circle.FEW
        crowd.call(5)


def test_one_that_comes_back_below_the_lowest_finds_it():
    crowd = Crowd({*range(64, 200)}, count=256)
    crowd.call(4)
    crowd.heard[2] = {}
    crowd.call(8)
    assert 2 in crowd.heard[64] and 64 in crowd.heard[2]
