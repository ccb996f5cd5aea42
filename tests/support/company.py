"""Workers that speak with each other over real sockets: several in this process, on free ports."""

import concurrent.futures
import contextlib
import json
import socket
import time

from pipeline.engine.topology import Workers
from pipeline.workers import ports
from pipeline.workers.peers import Peers
from pipeline.workers.words import Word

SOON_S = 30.0  # for what takes some pulses, on a busy machine


def eventually(condition) -> bool:
    give_up = time.monotonic() + SOON_S
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


class Company:
    """The workers of a job; each comes when it is told to."""

    def __init__(self, count: int, closing: contextlib.ExitStack):
        self.addresses = tuple(f"{ports.LOOPBACK}:{port}" for port in ports.free(count))
        self._closing = closing

    def come(self, index: int, addresses: tuple[str, ...] = ()) -> Peers:
        """A worker, perhaps with other addresses than all have."""
        peers = Peers(Workers(addresses or self.addresses, index), lambda: {"step": 10 * index})
        self._closing.callback(peers.close)
        return peers

    def leave_without_a_word(self, peers: Peers, index: int) -> None:
        """As if it were killed; returns when its port is free again."""
        peers.close()
        assert eventually(lambda: not ports.taken(int(self.addresses[index].rpartition(":")[2])))

    def life_of(self, index: int, as_worker: int) -> str:
        """The life of a worker's process, as it tells it to another worker, that has not come."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
            listener.bind((ports.LOOPBACK, int(self.addresses[as_worker].rpartition(":")[2])))
            while (said := json.loads(listener.recv(65536)))["worker"] != index:
                pass
            return said["life"]

    def say(self, to: int, datagram: bytes) -> None:
        """Sends a datagram from somewhere else."""
        host, port = self.addresses[to].split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(datagram, (host, int(port)))


def meet(*company: Peers, timeout_s: float = SOON_S) -> list:
    """What the meeting of each gave: the hellos of all, or its error."""
    with concurrent.futures.ThreadPoolExecutor(len(company)) as pool:
        meetings = [pool.submit(peers.meet, {"name": k}, timeout_s) for k, peers in enumerate(company)]
        return [meeting.exception() or meeting.result() for meeting in meetings]


def met(job, count: int) -> tuple[Company, list[Peers]]:
    """A job whose workers have met."""
    company = job(count)
    workers = [company.come(index) for index in range(count)]
    assert meet(*workers) == [[{"name": k} for k in range(count)]] * count
    return company, workers


def word(**changes) -> bytes:
    usual = Word(1, "another life", 0, "", {"name": 1}, True, {"step": 99}, {"code": 70, "message": "nan"})
    return json.dumps(vars(usual) | changes).encode()
