"""The preflight, with real processes on real ports."""

import re
import socket
import subprocess

import commands
import pytest

from pipeline.errors import ExitCode
from pipeline.workers import ports

WAIT = "--start_timeout=6"


def local_addresses(count: int) -> list[str]:
    return [f"127.0.0.{k + 1}:{port}" for k, port in enumerate(ports.free(count))]


def preflights(addresses: list[str], *flags, indices=None, own=None) -> list[subprocess.Popen]:
    """A process for each worker; own: further flags of some, by index."""
    named = f"--worker_addresses={','.join(addresses)}"
    indices = range(len(addresses)) if indices is None else indices
    return [
        commands.start("preflight", named, f"--worker_index={k}", WAIT, *flags, *(own or {}).get(k, []))
        for k in indices
    ]


def ended(processes) -> list[tuple[int, str, str]]:
    processes = list(processes)
    out = [process.communicate(timeout=60) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, out, strict=True)]


def test_workers_that_are_ready_are_told_so_by_the_chief_alone(tmp_path):
    (code, out, err), *others = ended(preflights(local_addresses(3), f"--run_dir={tmp_path}/not/made"))
    assert (code, err) == (0, "") and others == [(0, "", "")] * 2
    assert out.endswith("preflight: 3 worker(s), ready to train\n")
    assert len(re.findall(r"^\d  .* by all .* the chief's ", out, re.MULTILINE)) == 3
    assert list(tmp_path.iterdir()) == []


def test_one_worker_alone_has_a_preflight_too(tmp_path):
    assert "preflight: 1 worker(s), ready to train" in commands.succeed("preflight", f"--run_dir={tmp_path}")


def test_it_runs_under_the_supervisor_with_the_codes_passed_on(tmp_path):
    ready = commands.run("supervise", "--preflight", "--workers=2", f"--run_dir={tmp_path}")
    assert ready.returncode == 0 and "worker 0 | preflight: 2 worker(s), ready to train\n" in ready.stdout
    refused = commands.run("supervise", "--preflight", "--workers=2", "--run_dir=/proc/run")
    assert refused.returncode == ExitCode.STORAGE and "restart" not in refused.stderr


def test_workers_that_see_other_run_directories_are_named(tmp_path):
    own = {0: [f"--run_dir={tmp_path}/a/run"], 1: [f"--run_dir={tmp_path}/b/run"]}
    for directory in ("a", "b"):
        (tmp_path / directory).mkdir()
    (code, out, err), _ = ended(preflights(local_addresses(2), own=own))
    assert (code, err) == (0, "")
    assert "the run directory of worker 1 (" in out and "is not the chief's: the chief's state is sent" in out


def test_flags_that_differ_are_named_with_both_values(tmp_path):
    results = ended(preflights(local_addresses(2), f"--run_dir={tmp_path}", own={1: ["--seed=2"]}))
    assert [code for code, _, _ in results] == [ExitCode.USAGE] * 2
    assert "its --seed is 2, the chief's 1; make them equal" in results[0][2]


def test_hardware_that_differs_is_named_with_both_values_and_the_remedy(tmp_path):
    older, newer = (commands.environment(**changes) for changes in ({"ONEDNN_MAX_CPU_ISA": "AVX"}, {"XLA_FLAGS": "x"}))
    addresses = ",".join(local_addresses(2))
    results = ended(
        commands.start(
            "preflight", f"--worker_addresses={addresses}", f"--worker_index={k}", f"--run_dir={tmp_path}", env=env
        )
        for k, env in enumerate((newer, older))
    )
    assert [code for code, _, _ in results] == [ExitCode.USAGE] * 2
    assert re.search(
        "its instructions is AVX, the chief's AVX2?.*; give all workers the same ONEDNN_MAX", results[0][2]
    )
    assert "its variables is none, the chief's XLA_FLAGS=x; set these variables for all workers alike" in results[0][2]


def test_unsealed_messages_and_listening_on_a_network_are_told_and_a_private_network_has_neither(tmp_path):
    (code, out, _), _ = ended(preflights(local_addresses(2), f"--run_dir={tmp_path}"))
    assert code == 0 and "the workers' own messages are not sealed" in out
    assert ("listening on a network: " in out) == bool(ports.exposed(1))
    private = commands.run("supervise", "--preflight", "--workers=2", f"--run_dir={tmp_path}")
    assert private.returncode == 0 and "not sealed" not in private.stdout
    assert "listening on a network" not in private.stdout or "no private network (" in private.stderr


def test_a_worker_that_is_not_there_is_named(tmp_path):
    addresses = local_addresses(3)
    (code, _, err), (other, _, _) = ended(preflights(addresses, f"--run_dir={tmp_path}", indices=[0, 1]))
    assert code == other == ExitCode.PEER_LOST
    assert f"worker 2 at {addresses[2]} cannot be reached from worker 0 (" in err and "TCP is refused" in err


def test_a_host_without_an_address_is_named(tmp_path):
    addresses = [*local_addresses(1), "no-such-host.invalid:9000"]
    [(code, _, err)] = ended(preflights(addresses, f"--run_dir={tmp_path}", indices=[0]))
    assert code == ExitCode.USAGE and "its name does not resolve" in err


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_taken_is_named_with_its_holder(tmp_path, index, kind):
    addresses = local_addresses(2)
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("", int(addresses[index].partition(":")[2])))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        results = ended(preflights(addresses, f"--run_dir={tmp_path}"))
    assert {code for code, _, _ in results} <= {ExitCode.USAGE, ExitCode.PEER_LOST}
    assert results[0][0] == ExitCode.USAGE
    assert f"worker {index}'s port, of {addresses[index]}, is taken on" in results[0][2]
    assert re.search(r"(TCP|UDP) by process \d+ \(.*\); end that", results[0][2])
