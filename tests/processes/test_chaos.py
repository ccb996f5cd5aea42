"""A closed terminal. More accidents: python -m tests.chaos"""

import subprocess
import sys
from pathlib import Path

import commands
import pytest

from tests.support.cluster.hosts import missing

ONLY = "--only=close_terminal"


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_job_hit_by_an_accident_ends_as_one_that_nothing_happened_to():
    ended = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--events=1", "--seed=26", "--leg=300", ONLY],
        cwd=Path(__file__).parent.parent.parent,
        env=commands.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stdout
    assert "1 events" in ended.stdout
