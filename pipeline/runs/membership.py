"""Which workers a run goes on with: with --min_workers, those that gather around its directory.

See docs/design/workers.md. Without --min_workers the workers are those that flags and environment name.
"""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.config import Config
from pipeline.engine import topology
from pipeline.engine.topology import Topology, Workers
from pipeline.errors import PreemptedError, StorageError, UsageError
from pipeline.monitoring.history import Event, History
from pipeline.monitoring.terminal import Terminal
from pipeline.process import environment, pulse
from pipeline.process.preemption import Preemption
from pipeline.runs import ownership, settings
from pipeline.runs.ownership import Ownership
from pipeline.runs.run_directory import RunDirectory
from pipeline.workers import address_book, agreement, discovery, slurm
from pipeline.workers.calls import Membership
from pipeline.workers.gathering import Gathering
from pipeline.workers.newcomers import Newcomers
from pipeline.workers.proposals import Rules

SHARED_S = 10.0  # in which a worker on another host sees who owns the run directory
PLANNED = 3  # times --rejoin_timeout: the wait for workers that stopped to take newcomers in
PAUSE_S = 600.0  # before a process that was asked in, and did not become a member, is asked in again


class Place(NamedTuple):
    """The place of this process in its job."""

    workers: Workers
    newcomers: Newcomers | None = None  # those that a job hears that may grow
    ownership: Ownership | None = None  # of the run directory, if this process owns it already


@contextlib.contextmanager
def settled(asked: Config, stop: Preemption) -> Iterator[Place]:
    """The job that this process is a worker of. It needs no TensorFlow, so a process that waits is small.

    Waits while a job runs that needs this process not. Inside, the chief of a job that may shrink and grow owns the
    run directory. Raises UsageError, PeerLostError, PreemptedError, StorageError: see `Gathering.settled`.
    """
    candidates = discovery.workers(asked)
    if not asked.min_workers or candidates.count == 1 or asked.dry_run:
        yield Place(candidates)
        return
    with contextlib.ExitStack() as owning:
        yield _gathered(asked, candidates, stop, owning)


def _gathered(asked: Config, candidates: Workers, stop: Preemption, owning: contextlib.ExitStack) -> Place:
    candidates = dataclasses.replace(candidates, candidates=candidates.addresses)
    towers = topology.from_config(asked, len(environment.visible_gpus()), candidates)
    directory = RunDirectory(Path(asked.run_dir))
    shards = settings.shards(asked, directory.recorded(), towers)
    rules = _rules(asked, towers, shards)
    terms, run = agreement.terms(asked, towers.num_towers), _RunSeen(asked, candidates, directory, stop, owning)
    gathering = Gathering(candidates, terms, rules, asked.start_timeout, run, Terminal(asked.quiet).line)
    owning.enter_context(address_book.entered(directory.workers, candidates))
    found = gathering.settled()
    if found is None:
        return Place(candidates)
    candidates = gathering.candidates
    _signs(pulse.STARTS)
    if candidates.index == found.members[0]:
        _tell(asked, candidates, found, shards)
    addresses = tuple(candidates.addresses[member] for member in found.members)
    own = Workers(addresses, found.members.index(candidates.index), candidates.addresses, candidates.learned)
    return Place(own, Newcomers(found, gathering.life, candidates.index, terms, rules), run.ownership)


def check_shared(directory: RunDirectory, newcomers: Newcomers) -> None:
    """Raises UsageError unless this worker sees the chief's run directory. Any of them may be the next chief."""
    give_up = time.monotonic() + SHARED_S
    while ownership.mark_in(directory.lock) != newcomers.owner:
        if time.monotonic() > give_up:
            raise UsageError(
                f"run_dir={directory.path} is not the chief's directory; --min_workers needs one that all workers share"
            )
        time.sleep(0.1)


def candidate_addresses(directory: RunDirectory, workers: Workers) -> tuple[str, ...]:
    """The addresses of all that may be workers of a running job: its members', and the others' as they are now."""
    if not workers.learned:
        return workers.candidates
    now = address_book.known(directory.workers, workers.candidates)
    pairs = zip(workers.candidates, now, strict=True)
    return tuple(before if before in workers.addresses else after for before, after in pairs)


def as_event(workers: Workers) -> dict[str, Sequence[str]]:
    """The fields of an event that tell the members of a job that may shrink and grow."""
    return {"members": workers.addresses, "candidates": workers.candidates} if workers.candidates else {}


def lately_asked_in(history: History) -> set[str]:
    """The lives of the newcomers for which the job has stopped lately."""
    recent = time.time() - PAUSE_S
    events = [event for event in history.events if event["event"] == "regroup" and event["time"] > recent]
    return {life for event in events for life in event.get("lives", ())}


def _rules(asked: Config, towers: Topology, shards: int) -> Rules:
    count, fitting = towers.workers.count, towers.fitting_counts(shards, asked.all_reduce)
    if not any(asked.min_workers <= fit <= count for fit in fitting):
        raise UsageError(
            f"min_workers={asked.min_workers}, but {shards} shards divide over {', '.join(map(str, fitting)) or 'no'} "
            f"workers, and the job has {count}; lower --min_workers, or give other --grad_shards"
        )
    return Rules(count, asked.min_workers, tuple(fitting))


def _tell(asked: Config, candidates: Workers, found: Membership, shards: int) -> None:
    """Says who the job is, where it is not everyone."""
    if len(found.members) == candidates.count:
        return
    names = ", ".join(f"worker {k} is {candidates.addresses[member]}" for k, member in enumerate(found.members))
    others = [candidates.addresses[k] or f"worker {k}" for k in range(candidates.count) if k not in found.members]
    Terminal(asked.quiet).line(
        f"the job goes on with {len(found.members)} of {candidates.count} workers, which {shards} shards allow: "
        f"{names}; without {', '.join(others)}"
    )


def _signs(sign: bytes) -> None:
    if (descriptor := environment.pulse_fd()) is not None:
        pulse.give(descriptor, sign)


class _RunSeen:
    """What a candidate sees of the run; see `surroundings.Surroundings`."""

    def __init__(
        self,
        asked: Config,
        candidates: Workers,
        directory: RunDirectory,
        stop: Preemption,
        owning: contextlib.ExitStack,
    ):
        self._asked, self._candidates, self._directory, self._stop = asked, candidates, directory, stop
        self._owning = owning
        self.ownership: Ownership | None = None
        self._history = History()

    def look(self) -> None:
        _signs(pulse.WAITS)
        if self._stop.requested or self._directory.stop_file.exists():
            raise PreemptedError("stopped while it waited for other workers: nothing was to save")

    def addresses(self, before: tuple[str, ...]) -> tuple[str, ...]:
        return address_book.known(self._directory.workers, before) if self._candidates.learned else before

    def is_finished(self) -> bool:
        self._history = self._directory.history()
        return self._history.finished(self._asked.steps, self._asked.early_stop)

    def expected(self) -> set[int]:
        """Those of the last start, and those for which it stopped; all, where the candidates are others."""
        everyone = list(self._candidates.addresses)
        last = self._last()
        members = last.get("members")
        were = last.get("candidates")
        if self._candidates.learned and isinstance(were, list) and len(were) == len(everyone):
            everyone = were  # the same numbers, wherever they are now
        if were != everyone or not isinstance(members, list):
            return set(range(len(everyone)))
        return {everyone.index(member) for member in members if member in everyone}

    def patience(self) -> float:
        """Workers that stopped for newcomers are sure to come back, and may need longer on a busy machine."""
        is_planned = self._last().get("event") == "regroup"
        return min(self._asked.rejoin_timeout * (PLANNED if is_planned else 1), self._asked.start_timeout)

    def _last(self) -> Event:
        """The last line that has members."""
        events = (e for e in reversed(self._history.events) if e["event"] in ("start", "regroup"))
        return next(events, {})

    def has_record(self) -> bool:
        return self._directory.config.is_file()

    def owner(self) -> str:
        return ownership.mark_in(self._directory.lock)

    def obstacle(self) -> str:
        return ownership.obstacle(self._directory.lock, slurm.job_attempt())

    def claim(self) -> str:
        if obstacle := self.obstacle():
            return obstacle
        try:
            self.ownership = self._owning.enter_context(self._directory.own(slurm.job_attempt()))
        except StorageError as error:
            if obstacle := self.obstacle():  # another one was faster
                return obstacle
            raise error
        return ""
