"""The table at the end of a run."""

import re

import numpy as np

from pipeline.config import Config
from pipeline.engine.tally import Tally
from pipeline.monitoring.clock import Clock
from pipeline.monitoring.journal import Journal
from pipeline.monitoring.reporter import Reporter
from pipeline.monitoring.terminal import Terminal


def test_the_ending_has_the_scores_the_best_validation_and_all_of_the_time(tmp_path):
    clock, journal = Clock(), Journal(tmp_path, 0, Terminal(quiet=True))
    for step, accuracy in ((10, 0.5), (20, 0.75), (30, 0.75)):
        journal.scalars("validation", step, {"loss": 1.0, "accuracy": accuracy})
    with clock.timing("training"):
        pass
    tally = Tally(np.array([1.0, 2.0], np.float32), np.array([[3, 1], [0, 4]]), (), 1)
    ending = Reporter(Config(), journal, clock, restarts=2).ending(
        40, tally, {"host": 1234, "gpu:0": 7}, {"run directory": "R"}
    )
    rows = dict(re.split(r" {2,}", line.strip(), maxsplit=1) for line in ending.splitlines()[1:])
    assert rows["test accuracy"] == "87.50% (1 of 8 wrong)" and rows["test loss"] == "0.3750"
    assert rows["best validation"] == "75.00% at step 20"  # the first of equals
    assert rows["memory"] == "host 1,234 MiB, gpu:0 7 MiB at the peak"
    assert rows["restarts"] == "2" and rows["run directory"] == "R"
    shares = [float(share) for share in re.findall(r"([\d.]+)%", rows["time"])]
    assert len(shares) == len(clock.split()) and abs(sum(shares) - 100) < 0.5
