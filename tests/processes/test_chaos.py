"""A full disk, a damaged checkpoint, a kill and other workers. More of it: python -m tests.chaos --events=50"""

import subprocess
import sys
from pathlib import Path

import commands
import pytest

from tests.support.cluster.hosts import missing


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_job_hit_by_accidents_ends_as_one_that_nothing_happened_to():
    ended = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--events=4", "--seed=3002", "--leg=800"],
        cwd=Path(__file__).parent.parent.parent,
        env=commands.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stdout
    assert "4 events" in ended.stdout
