"""What every test process needs: eight CPU towers, quiet, and the trainer's own pinned surroundings."""

import gc
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

from pipeline.process import standard_error, startup

# Under nohup, or beside a shell's next command, they are ignored, also by the processes that tests start.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

NUM_TOWERS = 8

# What takes longest, first, so that nothing long is left at the end.
LONG = (
    "processes/test_slurm.py",
    "processes/test_benchmarks.py",
    "processes/test_workers.py",
    "processes/test_lost_workers.py",
    "processes/test_experiments.py",
    "processes/test_ssh.py",
    "processes/test_export.py",
    "processes/test_colour_folder.py",
    "processes/test_supervised_training.py",
    "processes/test_python.py",
    "engine/test_trainer.py",
    "engine/test_step.py",
    "processes/test_bad_input.py",
    "processes/test_worker_stops.py",
    "processes/test_commands.py",
    "processes/test_local.py",
    "processes/test_trackers.py",
    "processes/test_early_stop.py",
    "processes/test_elastic.py",
    "browser/test_dashboards.py",
    "processes/test_runs.py",
    "processes/test_preflight.py",
    "processes/test_mirroring.py",
    "serving/test_watch.py",
    "processes/test_chaos.py",
    "processes/test_kills.py",
    "processes/test_fine_tuning.py",
    "serving/test_formats.py",
    "benchmarks/test_bits.py",
    "engine/test_averaging.py",
    "processes/test_wheel.py",
    "processes/test_rollbacks.py",
    "processes/test_moving_averages.py",
    "models/test_applications.py",
    "engine/test_recheck.py",
    "sources/test_sources_tfds.py",
    "runs/test_mirror.py",
)


def pytest_collection_modifyitems(config, items):
    """Where xdist runs them, file by file: the long ones first, then others of processes, then all others."""
    tests = Path(__file__).parent

    def rank(item) -> int:
        file = item.path.relative_to(tests).as_posix()
        return LONG.index(file) if file in LONG else len(LONG) + (not file.startswith("processes/"))

    if hasattr(config, "workerinput"):
        items.sort(key=rank)


def pytest_collectstart():
    """In a process that has tests to run: imports Keras first, as commands do, and without a look at what stays."""
    gc.disable()
    if "keras" not in sys.modules:
        with standard_error.kept(), startup.hidden(*startup.UNUSED):
            import keras  # noqa: F401


def pytest_collection_finish():
    """All modules and tests stay: the garbage collector would look through them again and again."""
    gc.enable()
    gc.collect()
    gc.freeze()


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
