"""launch/local.sh: several workers on this machine, whatever becomes of them."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster import launchers
from cluster.launchers import FLAGS, LAUNCH, launched, processes

from pipeline.errors import ExitCode

pytestmark = pytest.mark.skipif(bool(launchers.missing()), reason=launchers.missing())


def local(run_dir, *flags):
    return launched([LAUNCH / "local.sh", f"--run_dir={run_dir}", *flags], run_dir)


def process_of(live, worker: int) -> int:
    """The process number of a worker."""
    for process in live.workers():
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        if b"pipeline.train" in words and f"--worker_index={worker}".encode() in words:
            return process
    raise AssertionError(worker)


def assert_only_those_inside_reach_it(process: int) -> None:
    """That TensorFlow's runtime listens, and that its port is closed for whoever is in the network of this machine."""
    words = Path(f"/proc/{process}/cmdline").read_text()
    ports = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", words)]
    tables = [Path(f"/proc/{process}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    listening = {int(port, 16) for table in tables for port in re.findall(r":([0-9A-F]{4}) [0-9A-F]+:0000 0A ", table)}
    assert len(ports) == 2 and set(ports) <= listening
    for port in ports:
        with socket.socket() as outside, pytest.raises(ConnectionRefusedError):
            outside.connect(("127.0.0.1", port))


def private_networks_are_allowed() -> bool:
    asked = "import sys; from pipeline.process import private_network; sys.exit(bool(private_network.enter()))"
    return subprocess.run([sys.executable, "-c", asked], cwd=LAUNCH.parent).returncode == 0


def test_a_dry_run_prints_each_workers_command_and_nothing_else(tmp_path):
    with local(tmp_path / "run", "--workers=3", "--dry_run", "--seed=5") as live:
        code, out, err = live.end()
    addresses = re.findall(r"^worker \d of 3 at (127\.0\.0\.1:\d+), on ", out, re.MULTILINE)
    commands = re.findall(r"^    \S+ -m pipeline\.train (.*)$", out, re.MULTILINE)
    assert (code, err, len(set(addresses))) == (0, "", 3)
    assert [sorted(words.split()) for words in commands] == [
        sorted(
            [
                f"--run_dir={tmp_path}/run",
                "--seed=5",
                f"--worker_addresses={','.join(addresses)}",
                f"--worker_index={k}",
            ]
        )
        for k in range(3)
    ]
    assert not (tmp_path / "run").exists()


def test_a_preflight_and_a_wrong_flag_end_with_their_codes(tmp_path):
    with local(tmp_path / "run", "--preflight") as live:
        assert live.end()[0] == 0
    with local(tmp_path / "run", "--seed=-1") as live:
        code, out, err = live.end()
    assert (code, out) == (ExitCode.USAGE, "") and err.startswith("usage: seed=-1 is too small")


def test_a_killed_worker_is_started_again_with_the_others_and_after_ctrl_c_the_same_command_goes_on(
    tmp_path, undisturbed
):
    with local(tmp_path / "run", *FLAGS, "--workers=2") as live:
        live.until_step(40)
        trainers = processes(live.run.path, "pipeline.train")
        os.kill(process_of(live, 0), signal.SIGKILL)
        live.until_others(trainers)
        live.until_step(live.last_step() + 1)
        for process in live.workers():  # as a terminal does: all processes get it
            os.kill(process, signal.SIGINT)
        code, _, err = live.end()
        assert (code, live.workers()) == (ExitCode.PREEMPTED, []), err
        assert "worker 0 left with exit code 137" in err and "restart 1 of 3" in err
        assert "worker 1 left with exit code 76" in err
    with local(tmp_path / "run", *FLAGS, "--workers=2") as live:
        code, out, err = live.end()
        assert code == 0, (out, err)
        assert live.run.history().result["parameters_sha256"] == undisturbed
        assert out.startswith("worker 0 | ")


def test_no_worker_outlives_a_launcher_that_is_killed(tmp_path):
    with local(tmp_path / "run", *FLAGS) as live:
        live.until_step(20)
        assert len(live.workers()) == 3
        if private_networks_are_allowed():
            assert_only_those_inside_reach_it(process_of(live, 0))
        live.process.kill()
        give_up = time.monotonic() + 10
        while live.workers():
            assert time.monotonic() < give_up
            time.sleep(0.05)
