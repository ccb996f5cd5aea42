"""Takes hosts away from a job of launch/ssh.sh and gives them back, over real sshd: python -m tests.ssh_hosts --hosts=2

The hosts have networks of their own (so root is needed). Each in turn falls silent and loses all its processes, as by a
power cut. The others must go on, and take it in again when it is back. In the end the state must be that of a run that
nothing happened to. Prints a line for every host, and ends with 0 if all of this was so.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "support")]

from cluster import hosts, launchers, ssh  # noqa: E402

from pipeline.errors import ExitCode  # noqa: E402
from pipeline.runs.manifests import newest_step  # noqa: E402
from tests.slurm_nodes import ELASTIC, FITTING, MATHEMATICS, PATIENT, Watched, state_of, undisturbed  # noqa: E402

FORMAT = "{:<14} {:>9} {:>9} {:>9}  {}"


def switch_off(network: hosts.Hosts, host: int) -> None:
    """Cuts a host off, and kills what the job and its connection run there."""
    network.cut(host)
    inside = [*network[host], "readlink", "/proc/self/ns/net"]
    namespace = subprocess.run(inside, text=True, capture_output=True, check=True).stdout.strip()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes()
            is_the_servers = b"listener" in words  # which waits for the next connection
            if os.readlink(path / "ns/net") == namespace and not is_the_servers:
                os.kill(int(path.name), signal.SIGKILL)


def hit(network: hosts.Hosts, host: int, job: Watched) -> None:
    """A power cut of one host, and what follows until the job has all hosts again."""
    count, before, earlier = len(network.addresses) - 1, job.step(), len(job.starts())
    switch_off(network, host)
    gone_s = job.until_it_trains(max(fit for fit in FITTING if fit <= count - 1), earlier)
    earlier = len(job.starts())
    network.heal(host)
    back_s = job.until_it_trains(count, earlier)
    sizes = " ".join(map(str, job.starts()))
    print(FORMAT.format(network.addresses[host], before, f"{gone_s:.0f} s", f"{back_s:.0f} s", sizes), flush=True)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that all is cleared away
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=2, help="2 or 4 (default: %(default)s)")
    asked = parser.parse_args()
    if reason := ssh.missing() or launchers.missing():
        raise SystemExit(reason)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        network = stack.enter_context(hosts.hosts(1 + asked.hosts))  # host 0 has the launcher alone
        client = stack.enter_context(ssh.servers(network, directory))
        named = [f"--hosts={','.join(network.addresses[1:])}", f"--ssh={client}", f"--run_dir={directory}/run"]
        flags = [*named, "--steps=100000000", *MATHEMATICS, *ELASTIC, *PATIENT]
        flags.append(f"--min_workers={asked.hosts // 2}")
        command = [*network[0], launchers.LAUNCH / "ssh.sh", *flags]
        launched = stack.enter_context(launchers.launched(command, directory / "run"))
        job = Watched(launched.run)
        job.until_it_trains(asked.hosts, 0)
        print(FORMAT.format("host", "at step", "gone", "back", "workers at each start so far"), flush=True)
        for host in range(1, asked.hosts + 1):
            hit(network, host, job)
        job.run.stop_file.touch()
        code, _, _ = launched.end()
        last = newest_step(job.run.checkpoints)
        found, wanted = state_of(job.run, last), undisturbed(last)
    print(f"state_sha256 {found} at step {last}; undisturbed {wanted}; exit code {code}")
    raise SystemExit(found != wanted or code != ExitCode.PREEMPTED)


if __name__ == "__main__":
    main()
