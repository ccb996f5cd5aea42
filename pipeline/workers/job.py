"""One worker's place in its job: meets the others, is watched over, and leaves with them."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import tensorflow as tf

from pipeline.config import Config
from pipeline.engine.topology import Topology
from pipeline.errors import PeerLostError, PipelineError, PreemptedError, UsageError
from pipeline.process.environment import pulse_fd
from pipeline.process.preemption import Preemption, sigterm_held_back
from pipeline.workers.cluster import Cluster
from pipeline.workers.peers import Peers
from pipeline.workers.phases import Phases
from pipeline.workers.versions import REMEDIES, versions
from pipeline.workers.watchdog import GRACE_S, Watchdog

FINISHED_S = 10.0  # for which the chief of a finished run waits for others, to tell them
SILENT_S = 2.5  # without a word, where a collective broke off: that worker is the reason


class Job:
    """The workers together, of which this process is one. With one worker alone there is nobody to meet or to lose."""

    def __init__(self, asked: Config, topology: Topology, preemption: Preemption, stop_file: Path):
        """stop_file: whoever makes it asks for a stop, as a signal does."""
        self._asked, self._topology, self._preemption = asked, topology, preemption
        self.phases = Phases(asked.stall_timeout, asked.start_timeout)
        with sigterm_held_back():
            self._peers = Peers(topology.workers, self.phases.status) if topology.workers.count > 1 else None
        self.watchdog = Watchdog(asked, self.phases, preemption, self._peers, stop_file)

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Watches over what happens inside. An error that ends it is told to the other workers, unless all agreed."""
        with sigterm_held_back():
            self.watchdog.start(pulse_fd())
        try:
            with self.together():
                yield
        except PipelineError as error:
            if self._peers is not None and not isinstance(error, PreemptedError):
                self._peers.leave(error)
            raise
        finally:
            self.watchdog.stop()
            if self._peers is not None:
                self._peers.close()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Raises PeerLostError, or what another worker ended with, where TensorFlow says that a collective broke."""
        try:
            yield
        except tf.errors.OpError as error:
            if self._peers is None:
                raise
            raise self._left_alone(error, self._peers) from None

    def _left_alone(self, error: tf.errors.OpError, peers: Peers) -> PipelineError:
        """Why a collective failed: what a worker left with, or which one is silent, as soon as one of both shows."""
        self.watchdog.write_places()
        give_up = time.monotonic() + GRACE_S
        while time.monotonic() < give_up:
            if farewell := peers.farewell():
                return farewell
            silent = [f"worker {index}" for index, seconds in peers.silent().items() if seconds > SILENT_S]
            if silent:
                step = self.phases.current.step
                return PeerLostError(f"at step {step} {', '.join(silent)} is gone; start the job again to go on")
            time.sleep(0.1)
        return PeerLostError(f"workers lost each other ({error.message.splitlines()[0][:120]}); start the job again")

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the one that writes the run directory."""
        return self._topology.workers.is_chief

    def watch(self, log: IO[str], tell: Callable[[PipelineError], None], cluster: Cluster) -> None:
        """Lets the watchdog see how far the towers are. It says in the log, and by `tell`, why it ends the process."""
        self.phases.arrived = lambda: cluster.arrived
        self.watchdog.log, self.watchdog.tell = log, tell

    def meet(self, settled: Config, finished: bool = False) -> tuple[Config, bool]:
        """The configuration that all run with, and whether the run is finished already: as the chief says.

        settled: this worker's own, of which the chief's counts. Raises UsageError, naming the difference, if the
        workers were started with other flags, or are of other versions; PeerLostError if one does not come, and
        PreemptedError if a stop is asked for before all have come.
        """
        try:
            return (settled, finished) if self._peers is None else self._meet(self._peers, settled, finished)
        finally:
            self.phases.enter("start", 0)

    def _meet(self, peers: Peers, settled: Config, finished: bool) -> tuple[Config, bool]:
        own = {"asked": self._mathematics(self._asked), "versions": self._versions()}
        chiefs = {"settled": self._mathematics(settled), "finished": finished}
        timeout_s = FINISHED_S if finished else self._asked.start_timeout
        try:
            hellos = peers.meet({**own, **chiefs}, timeout_s, lambda: self._preemption.requested)
        except PeerLostError:
            if finished:  # the others left with the result, before this worker was started once more
                return settled, True
            raise
        except PreemptedError as error:  # no agreed one
            peers.leave(error)
            raise
        for index, hello in enumerate(hellos):
            for what, mine in own.items():
                self._compare(what, mine, hello[what], index)
        config = dataclasses.replace(settled, **hellos[0]["settled"])
        return config, hellos[0]["finished"]

    @staticmethod
    def _mathematics(config: Config) -> dict[str, Any]:
        return {**config.mathematics(), "steps": config.steps}

    def _versions(self) -> dict[str, Any]:
        return {**versions(), "towers": self._topology.num_towers}

    def _compare(self, what: str, mine: dict[str, Any], theirs: dict[str, Any], index: int) -> None:
        different = [name for name in mine if mine[name] != theirs.get(name)]
        if different:
            own, each = self._topology.workers.index, {"asked": "flags", "versions": "versions"}[what]
            told = "; ".join(f"{name} {_shown(mine[name])} and {_shown(theirs.get(name))}" for name in different)
            remedy = "; ".join(dict.fromkeys(REMEDIES.get(name, "make them equal") for name in different))
            raise UsageError(f"workers {own} and {index} were started with different {each}: {told}; {remedy}")


def _shown(value: object) -> object:
    return "none" if value == "" else value
