"""launch/ssh.sh over real ssh, between hosts with networks of their own."""

import contextlib
import re
import signal
import subprocess
from pathlib import Path

import pytest
from cluster import hosts, launchers, ssh
from cluster.launchers import LAUNCH

from pipeline.errors import ExitCode
from pipeline.workers import firewall

pytestmark = [
    pytest.mark.skipif(bool(ssh.missing()), reason=ssh.missing()),
    pytest.mark.skipif(bool(launchers.missing()), reason=launchers.missing()),
]

SECRET = "read -r PIPELINE_JOB_SECRET && export PIPELINE_JOB_SECRET"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Three hosts; the launcher runs on the first, beside a worker."""
    with hosts.hosts(3) as network:
        yield network


@pytest.fixture(scope="module")
def client(network, tmp_path_factory):
    """The ssh command that reaches them."""
    with ssh.servers(network, tmp_path_factory.mktemp("ssh")) as command:
        yield command


def launched(network, client: str, run_dir: Path, num_hosts: int, *flags):
    """ssh.sh on the first of so many hosts, with a run directory."""
    named = [f"--hosts={','.join(network.addresses[:num_hosts])}", f"--ssh={client}", f"--run_dir={run_dir}"]
    return launchers.launched([*network[0], LAUNCH / "ssh.sh", *named, *flags], run_dir)


def variables(process: int) -> dict[str, str]:
    """The environment of a process."""
    return dict(word.split("=", 1) for word in Path(f"/proc/{process}/environ").read_text().split("\0") if "=" in word)


def command_lines() -> list[str]:
    """Those of all processes, as `ps` shows them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_text(errors="replace"))
    return found


def test_a_dry_run_names_every_host_and_its_command_and_reaches_none():
    command = [LAUNCH / "ssh.sh", "--hosts=h1,me@h2", "--port=9001", "--dry_run", "--remote_dir=/p q", "--augment=a'b"]
    *lines, why, rules = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
    assert why.startswith("# ") and rules == firewall.command(["h1:9001", "h2:9001"])
    for k, (host, line) in enumerate(zip(["h1", "me@h2"], lines, strict=True)):
        reach, _, remote = line.partition(f" {host} ")
        assert reach.startswith("ssh -o ")
        words = f"'--worker_addresses=h1:9001,h2:9001' '--worker_index={k}' '--augment=a'\\''b'"
        assert remote == f"cd '/p q' && {SECRET} && exec './launch/supervise.sh' '--end_with_stdin' {words}"


def test_hosts_come_from_a_file_too(tmp_path):
    (tmp_path / "hosts").write_text("# mine\nh1  \n\nh2 # the other\n")
    command = [LAUNCH / "ssh.sh", f"--host_file={tmp_path}/hosts", "--dry_run"]
    told = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
    assert told.count("--worker_addresses=h1:9000,h2:9000'") == 2


def test_addresses_of_ipv6_are_given_to_ssh_without_brackets_and_to_the_workers_in_them():
    command = [LAUNCH / "ssh.sh", "--hosts=fd00::1,me@[fd00::2]", "--dry_run"]
    told = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
    assert told.count("'--worker_addresses=[fd00::1]:9000,[fd00::2]:9000'") == 2
    assert " fd00::1 cd " in told and " me@fd00::2 cd " in told


@pytest.mark.parametrize("flags", [[], ["--hosts="], ["--host_file=/nonexistent"]])
def test_without_hosts_it_says_how_to_give_them(flags):
    refused = subprocess.run([LAUNCH / "ssh.sh", *flags], text=True, capture_output=True)
    assert (refused.returncode, refused.stderr.count("\n")) == (ExitCode.USAGE, 1)
    assert refused.stderr.startswith("usage: ")


def test_a_preflight_reaches_all_hosts(network, client, tmp_path):
    with launched(network, client, tmp_path / "run", 3, "--preflight") as live:
        code, out, _ = live.end()
    assert code == 0
    assert f"{network.addresses[0]} | preflight: 3 worker(s), ready to train" in out


@pytest.mark.parametrize("kind, told", [("tcp", "TCP does not get through"), ("udp", "UDP does not get through")])
def test_a_firewall_between_the_workers_is_found_by_the_preflight(network, client, tmp_path, kind, told):
    with (
        network.denying(1, f"{kind} dport 9000"),
        launched(network, client, tmp_path / "run", 2, "--preflight", "--start_timeout=5") as live,
    ):
        code, out, err = live.end()
    assert code == ExitCode.PEER_LOST, (out, err)
    assert f"worker 1 at {network.addresses[1]}:9000 cannot be reached from worker 0" in out and told in out


def test_a_wrong_flag_ends_it_at_once_with_its_code(network, client, tmp_path):
    with launched(network, client, tmp_path / "run", 2, "--model=convolutionl") as live:
        code, out, _ = live.end()
    assert code == ExitCode.USAGE
    assert out.count("usage: model=convolutionl") == 2


def test_after_a_cut_link_and_after_ctrl_c_the_job_goes_on(network, client, tmp_path, undisturbed):
    """Hosts that lose each other leave, and meet again when the link is back. Ctrl-C saves on all."""
    with launched(network, client, tmp_path / "run", 2, *launchers.FLAGS, "--stall_timeout=5") as live:
        live.until_step(40)
        before = launchers.processes(live.run.path, "pipeline.train")
        network.cut(1)
        try:
            live.until_others(before)  # both hosts have left, and have begun to look for each other
        finally:
            network.heal(1)
        live.until_step(live.last_step() + 1)
        with live.held():
            live.process.send_signal(signal.SIGINT)
        code, out, _ = live.end()
        assert code == ExitCode.PREEMPTED, out
        assert live.workers() == []
        for address in network.addresses[:2]:
            assert re.search(rf"^{address} \| supervisor: restart \d of 3", out, re.MULTILINE)
    with launched(network, client, tmp_path / "run", 2, *launchers.FLAGS) as live:
        code, out, err = live.end()
        assert (code, err) == (0, "")
        assert {line.partition(" | ")[0] for line in out.splitlines()} == set(network.addresses[:2])
        assert live.run.history().result["parameters_sha256"] == undisturbed
        assert live.workers() == []


def test_when_the_launcher_is_killed_the_remote_processes_save_and_end(network, client, tmp_path):
    with launched(network, client, tmp_path / "run", 2, *launchers.FLAGS) as live:
        live.until_step(40)
        assert len(live.workers()) == 4  # a supervisor and a worker on each
        keys = {variables(process).get("PIPELINE_JOB_SECRET", "") for process in live.workers()}
        assert len(keys) == 1 and all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)
        assert all(keys.isdisjoint(re.findall("[0-9a-f]{64}", words)) for words in command_lines())
        with live.held():
            live.process.kill()
        live.until(lambda: live.workers() == [])
        assert [event["event"] for event in live.run.history().events][-1] == "preempted"


def test_a_host_that_does_not_answer_is_named_and_the_others_leave(network, client, tmp_path):
    nobody = network.addresses[0].rpartition(".")[0] + ".200"
    flags = [f"--hosts={network.addresses[0]},{nobody}", "--start_timeout=5", "--max_restarts=0"]
    with launched(network, client, tmp_path / "run", 1, *launchers.FLAGS, *flags) as live:
        code, out, err = live.end()
    assert code == ExitCode.PEER_LOST, (out, err)
    assert f"{nobody} cannot be reached" in err
