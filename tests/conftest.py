"""What every test process needs: eight CPU towers, quiet, and the trainer's own pinned surroundings."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

NUM_TOWERS = 8


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
