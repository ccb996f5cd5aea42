"""One worker's place in its job: it meets the other workers, is watched over, and leaves with them."""

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
from pipeline.workers import agreement
from pipeline.workers.cluster import Cluster
from pipeline.workers.newcomers import Newcomers
from pipeline.workers.peers import Peers
from pipeline.workers.phases import PARTED, Phases
from pipeline.workers.watchdog import GRACE_S, Watchdog

FINISHED_S = 10.0  # the chief of a finished run waits this long for other workers, to report the end to them
TELL_S = 1.0  # in which newcomers call, and hear how the job ended
SILENT_S = 2.5  # after a broken collective, a worker that is silent for this long is the cause


class Job:
    """This process among the workers of its job. With one worker, there are no others to meet or to lose."""

    def __init__(
        self,
        asked: Config,
        topology: Topology,
        preemption: Preemption,
        stop_file: Path,
        newcomers: Newcomers | None = None,
    ):
        """stop_file: if it exists, it asks for a stop, as a signal does. newcomers: those of a job that may grow."""
        self._asked, self._topology, self._preemption = asked, topology, preemption
        self._terms = agreement.terms(asked, topology.num_towers)
        self.newcomers = newcomers
        self.phases = Phases(asked.stall_timeout, asked.start_timeout)
        with sigterm_held_back():
            self._peers = Peers(topology.workers, self.phases.status, newcomers) if topology.workers.addresses else None
        self.watchdog = Watchdog(asked, self.phases, preemption, self._peers, stop_file)
        self.rescue: Callable[[], None] = lambda: None  # saves what a broken collective leaves; raises PipelineError

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Watches over the work inside, and sends its PipelineError to the other workers, but for an agreed stop."""
        with sigterm_held_back():
            self.watchdog.start(pulse_fd())
        try:
            with self.explaining_failures():
                yield
        except PipelineError as error:
            self._farewell(error)
            raise
        finally:
            self.watchdog.stop()
            if self._peers is not None:
                self._peers.close()

    def part(self, error: PipelineError | None) -> None:
        """Leaves the other workers before the work inside `joined` has ended, with the error that ends it, if any.

        From then on the watchdog watches over this process alone.
        """
        self._farewell(error)
        self.phases.enter(PARTED, self.phases.current.step)
        peers, self._peers, self.watchdog.peers = self._peers, None, None
        if peers is not None:
            peers.close()

    def _farewell(self, error: PipelineError | None) -> None:
        if self._peers is None or error is None:
            return
        if not isinstance(error, PreemptedError):
            self._peers.leave(error)
        if self.newcomers and self.newcomers.end(error):
            time.sleep(TELL_S)

    @property
    def seconds_left(self) -> float:
        """Seconds until the watchdog ends this process, where a stop was asked for; infinite otherwise."""
        return self.watchdog.seconds_left

    @contextlib.contextmanager
    def explaining_failures(self) -> Iterator[None]:
        """Turns TensorFlow's error of a broken collective into PeerLostError, or into the error of another worker."""
        try:
            yield
        except tf.errors.OpError as error:
            if self._peers is None or self._topology.workers.count == 1:
                raise
            cause = self._cause(error, self._peers)
            self.part(cause)
            with contextlib.suppress(PipelineError):  # the cause is told, whatever comes of it
                self.rescue()
            raise cause from None

    def _cause(self, error: tf.errors.OpError, peers: Peers) -> PipelineError:
        """The cause of a broken collective: a worker's farewell, or a silent worker, whichever shows first."""
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

    def paces(self) -> dict[int, Any]:
        """What each worker last told of its pace."""
        statuses = {} if self._peers is None else self._peers.statuses()
        return {index: status["pace"] for index, status in statuses.items()}

    def silent(self) -> dict[int, float]:
        """For every other worker that was heard, the seconds since it last was."""
        return {} if self._peers is None else self._peers.silent()

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the chief, which writes the run directory."""
        return self._topology.workers.is_chief

    def watch(self, log: IO[str], report: Callable[[PipelineError], None], cluster: Cluster) -> None:
        """Shows the towers' progress to the watchdog, which writes to `log`, and calls `report` before it ends us."""
        self.phases.arrived = lambda: cluster.arrived
        self.watchdog.rescue = lambda: self.rescue()
        self.watchdog.log, self.watchdog.report = log, report

    def meet(self, settled: Config, finished: bool = False) -> tuple[Config, bool]:
        """The chief's configuration, and whether the run is finished already.

        settled: this worker's configuration; the chief's counts. Raises UsageError, naming the difference, if workers
        have different flags or versions, PeerLostError if a worker does not come, and PreemptedError if a stop is asked
        for before all have come.
        """
        try:
            return (settled, finished) if self._peers is None else self._meet(self._peers, settled, finished)
        finally:
            self.phases.enter("start", 0)

    def _stops_meeting(self, peers: Peers) -> Callable[[], bool]:
        """Whether a stop was asked for. Raises PeerLostError for a member that has gathered and does not come."""
        began, patience_s = time.monotonic(), self._asked.rejoin_timeout

        def check() -> bool:
            if self.newcomers and time.monotonic() - began > patience_s:
                heard = {index for index, seconds in peers.silent().items() if seconds < patience_s}
                missing = set(range(self._topology.workers.count)) - heard - {self._topology.workers.index}
                for index in sorted(missing):
                    name = self._topology.workers.name(index)
                    raise PeerLostError(f"{name} is gone before the job has met; start the job again to go on")
            return self._preemption.requested

        return check

    def _meet(self, peers: Peers, settled: Config, finished: bool) -> tuple[Config, bool]:
        own = {"asked": self._terms["flags"], "versions": self._terms["versions"]}
        chiefs = {"settled": agreement.flags(settled), "finished": finished}
        if self.newcomers:
            chiefs["owner"] = self.newcomers.owner
        timeout_s = FINISHED_S if finished else self._asked.start_timeout
        try:
            hellos = peers.meet({**own, **chiefs}, timeout_s, self._stops_meeting(peers), self._check_hello)
        except PeerLostError:
            if finished:  # the others left after the result, before this worker was started again
                return settled, True
            raise
        except PreemptedError as error:  # the others have not agreed to this stop
            peers.leave(PeerLostError(str(error)) if self._topology.workers.learned else error)
            raise
        chief = hellos[0]
        assert chief is not None  # that of the chief is always there
        if self.newcomers:
            self.newcomers.owner = chief["owner"]
        return dataclasses.replace(settled, **chief["settled"]), chief["finished"]

    def _check_hello(self, index: int, hello: dict[str, Any]) -> None:
        """Raises UsageError if another worker was started with other flags or versions."""
        theirs = {"flags": hello["asked"], "versions": hello["versions"]}
        if told := agreement.difference(self._terms, theirs):
            raise UsageError(f"workers {self._topology.workers.index} and {index} {told}")
