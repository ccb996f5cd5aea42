"""A server of MLflow on SQLite, on this machine. PIPELINE_TEST_MLFLOW names its program; see .ci/run."""

import contextlib
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.workers import ports

START_S = 240  # on a machine that is busy with other things


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[str]:
    """The address of a server that ends with the block. Skips the test where there is no program."""
    program = os.environ.get("PIPELINE_TEST_MLFLOW", "")
    if not program:
        pytest.skip("PIPELINE_TEST_MLFLOW is not set to the program of an MLflow that has a server")
    [port] = ports.free(1)
    command = [program, "server", f"--backend-store-uri=sqlite:///{directory}/runs.sqlite", "--host=127.0.0.1",
               f"--artifacts-destination={directory}/artifacts", f"--port={port}", "--workers=1"]  # fmt: skip
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHON"))}
    own |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # six processes less
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=own, start_new_session=True)
    try:
        _await(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its workers, too
        process.wait()


def _await(address: str, process: subprocess.Popen) -> None:
    give_up = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=10).close()
            return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None and time.monotonic() < give_up, "MLflow's server did not start"
            time.sleep(0.1)
