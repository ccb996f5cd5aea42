"""The firewall's rules, on hosts with networks of their own."""

import subprocess
import sys

import pytest
from cluster import hosts

from pipeline.workers import firewall

pytestmark = pytest.mark.skipif(bool(hosts.missing()), reason=hosts.missing())
ANSWER_TWICE = """
import socket
with socket.create_server(("", 9000)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.bind(("", 9000))
    print("listening", flush=True)
    while True:
        tcp.accept()[0].close()
        udp.sendto(b"answer", udp.recvfrom(100)[1])
"""
ASK = """
import socket, sys
with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    for each in (tcp, udp):
        each.settimeout(1)
        try:
            each.connect((sys.argv[1], 9000))
            each.send(b"question")
            print("yes" if each is tcp or each.recv(100) else "")
        except TimeoutError:
            print("no")
"""


def test_only_the_jobs_hosts_reach_the_port_by_tcp_and_by_udp():
    with hosts.hosts(3) as network:
        job = [f"{address}:9000" for address in network.addresses[:2]]
        subprocess.run([*network[1], "sh", "-c", firewall.command(job)], check=True)
        listener = subprocess.Popen(
            [*network[1], sys.executable, "-c", ANSWER_TWICE], text=True, stdout=subprocess.PIPE
        )
        try:
            assert listener.stdout.readline() == "listening\n"
            answers = [
                subprocess.run(
                    [*network[host], sys.executable, "-c", ASK, network.addresses[1]], text=True, stdout=subprocess.PIPE
                ).stdout.split()
                for host in (0, 1, 2)
            ]
            assert answers == [["yes", "yes"], ["yes", "yes"], ["no", "no"]]
        finally:
            listener.kill()
            listener.communicate()
