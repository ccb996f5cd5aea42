"""What every test process needs: eight CPU towers, quiet, and the trainer's own pinned surroundings."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

NUM_TOWERS = 8

# What takes longest, first, so that nothing long is left at the end: a file whose tests share what only one process can
# hold, and so run there one after the other, or FILE::TEST.
LONG = (
    "processes/test_slurm.py",
    "processes/test_ssh.py",
    "processes/test_benchmarks.py::test_contenders_train_the_same_model_and_learn",
    "processes/test_chaos.py::test_a_job_hit_by_accidents_ends_as_one_that_nothing_happened_to",
    "browser/test_dashboards.py",
    "processes/test_colour_folder.py",
    "processes/test_local.py::",
    "processes/test_benchmarks.py::",
    "processes/test_supervised_training.py::",
    "processes/test_worker_stops.py::",
    "processes/test_lost_workers.py::",
    "processes/test_workers.py::",
    "processes/test_kills.py::",
    "processes/test_export.py",
    "benchmarks/test_bits.py",
)


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(config, items):
    """Divides the tests among the workers of xdist: by file, those of processes one by one, the long ones first."""
    if not hasattr(config, "workerinput"):
        return
    tests = Path(__file__).parent

    def rank(item) -> int:
        name = item.nodeid.removeprefix("tests/")
        found = [index for index, long in enumerate(LONG) if name.startswith(long)]
        return found[0] if found else len(LONG) + item.path.is_relative_to(tests / "processes")

    items.sort(key=rank)
    for item in items:
        file = item.path.relative_to(tests).as_posix()
        if file in LONG or not file.startswith("processes/"):
            item.add_marker(pytest.mark.xdist_group(file))


@pytest.fixture(scope="session", autouse=True)
def _eight_logical_cpus():
    from pipeline.config import Config
    from pipeline.engine import devices
    from pipeline.engine.topology import Topology

    devices.start(Topology(tuple(("CPU", i) for i in range(NUM_TOWERS))), Config(intra_op_threads=2))


@pytest.fixture(scope="session")
def mnist_directory():
    """The directory of the four real MNIST archives."""
    directory = os.environ.get("PIPELINE_TEST_MNIST")
    if not directory:
        pytest.skip("PIPELINE_TEST_MNIST is not set to the directory of the four MNIST archives")
    return directory
