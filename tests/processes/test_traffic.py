"""What workers send to each other, counted where it leaves their hosts."""

import json
import subprocess
import sys

import commands
import pytest
from cluster import hosts

from pipeline.workers import ports

PARAMETERS = 3_274_634  # of the convolutional model on 28 x 28 grey images of ten classes


def bytes_sent(network: hosts.Hosts, host: int) -> int:
    told = subprocess.run([*network[host], "ip", "-j", "-s", "link", "show", "eth0"], capture_output=True, check=True)
    return json.loads(told.stdout)[0]["stats64"]["tx"]["bytes"]


@pytest.mark.skipif(hosts.missing_links("8mbit") != "", reason=hosts.missing_links("8mbit"))
def test_the_link_of_a_host_is_bounded_in_both_directions():
    with hosts.hosts(2) as network:
        network.limit("8mbit")
        places = [network.bridge, network[0], network[1]]
        told = [subprocess.run([*at, "tc", "-j", "qdisc"], capture_output=True, check=True).stdout for at in places]
        bounded = [
            {one["dev"] for one in json.loads(answer) if one["kind"] == "tbf" and one["options"]["rate"] == 1_000_000}
            for answer in told
        ]
    assert bounded == [{"p0", "p1"}, {"eth0"}, {"eth0"}]


@pytest.mark.skipif(hosts.missing() != "", reason=hosts.missing())
@pytest.mark.parametrize("workers", [3])
def test_a_worker_sends_a_gradient_at_the_price_of_a_ring(workers):
    """A gradient of the exact sum over three workers, who are no power of two, and no step of training."""
    flags = ("--source=fake:600", "--model=convolutional", f"--global_batch={8 * workers}", f"--grad_shards={workers}")
    script = str(commands.TESTS / "support" / "gradient.py")
    [port] = ports.free(1)
    with hosts.hosts(workers) as network:
        addresses = ",".join(f"{address}:{port}" for address in network.addresses)
        words = [sys.executable, script, *flags, "--run_dir=nowhere", f"--worker_addresses={addresses}"]
        started = [
            subprocess.Popen(
                [*network[index], *words, f"--worker_index={index}"],
                env=commands.environment(),
                stdout=subprocess.PIPE,
            )
            for index in range(workers)
        ]
        results = [json.loads(process.communicate(timeout=300)[0].splitlines()[-1]) for process in started]
        sent = [bytes_sent(network, index) for index in range(workers)]
    assert len({result["sha256"] for result in results}) == 1
    ring = 2 * (workers - 1) / workers * PARAMETERS * 4
    assert all(ring < count < 1.05 * ring for count in sent), [count / (PARAMETERS * 4) for count in sent]
