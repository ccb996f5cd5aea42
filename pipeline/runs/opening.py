"""The way from a configuration to an open run: its directory owned, its settings final, its state restored."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.config import Config
from pipeline.engine import devices, state, topology
from pipeline.engine.assembly import Assembly
from pipeline.engine.topology import Topology
from pipeline.engine.trainer import Trainer
from pipeline.errors import BadDataError, PeerLostError, StorageError, UsageError
from pipeline.monitoring.history import History
from pipeline.monitoring.journal import FollowerJournal, Journal
from pipeline.monitoring.terminal import Terminal
from pipeline.process.preemption import Preemption
from pipeline.runs import announcements, fine_tuning, membership, resume, settings, starting_point
from pipeline.runs.checkpoints import Checkpoints, Restored
from pipeline.runs.exposing import Exposing
from pipeline.runs.membership import Place
from pipeline.runs.mirror.following import Following
from pipeline.runs.notices import Notices
from pipeline.runs.ownership import Ownership
from pipeline.runs.run import Run
from pipeline.runs.run_directory import RunDirectory
from pipeline.runs.starting_point import StartingPoint
from pipeline.runs.tracking import Tracking
from pipeline.text import tables
from pipeline.workers import discovery, slurm
from pipeline.workers.cluster import Cluster
from pipeline.workers.job import Job
from pipeline.workers.newcomers import Newcomers


@contextlib.contextmanager
def opened(asked: Config, stop: Preemption, place: Place | None = None) -> Iterator[Run | None]:
    """The run that the configuration names, ready for `loop.train`; None, after a line about it, if it is finished.

    place: of this process in its job, if it is settled already. Inside, this process owns the run directory and is
    connected with the other workers; an error that ends it is reported to them. Raises PipelineError.
    """
    place = place or Place(discovery.workers(asked))
    towers = topology.from_config(asked, devices.num_gpus(), place.workers)
    directory = RunDirectory(Path(asked.run_dir))
    job = Job(asked, towers, stop, directory.stop_file, place.newcomers)
    is_chief = towers.workers.is_chief
    own = contextlib.nullcontext(place.ownership) if place.ownership else directory.own(slurm.job_attempt())
    open_run = functools.partial(_opened_by_chief, own) if is_chief else _opened_by_follower
    notices = Notices(asked if is_chief else dataclasses.replace(asked, notify=""), directory, job)
    figures = Exposing(asked if is_chief else dataclasses.replace(asked, metrics_port=0), job)
    parts = (asked, towers, directory, job, stop)
    with job.joined(), notices.of_end(), job.explaining_failures(), figures.served(), open_run(*parts) as run:
        figures.run = run
        if run is None:
            notices.nothing_was_done()
            yield None
            return
        try:
            with job.explaining_failures():
                yield run
        except PeerLostError as error:
            run.journal.event("peer_lost", job.phases.current.step, why=str(error))
            raise
        finally:
            run.journal.close()


@contextlib.contextmanager
def _opened_by_chief(
    own: contextlib.AbstractContextManager[Ownership],
    asked: Config,
    towers: Topology,
    directory: RunDirectory,
    job: Job,
    stop: Preemption,
) -> Iterator[Run | None]:
    """The chief's run. The chief owns the run directory and settles the configuration by what lies there."""
    with own as ownership:
        checkpoints = Checkpoints(directory.checkpoints, ownership.check)
        mirror = Following(asked, directory, checkpoints) if asked.mirror else None
        if mirror:
            mirror.restore(towers, stop)
        trackers = Tracking(directory, asked.track)
        history = directory.history()
        config = settings.settle(asked, directory.recorded(), checkpoints.steps(), towers)
        finished = history.finished(config.steps, config.early_stop)
        if not checkpoints.steps() and not finished:
            fine_tuning.check(config)
            _check_nothing_is_lost(checkpoints, history)
        job.watchdog.check_owner = ownership.check
        if job.newcomers:
            job.newcomers.owner = ownership.mark
        config, _ = job.meet(config, finished)
        if finished:
            _show_finished(directory, history, asked.quiet)
        run = None if finished else _started(config, towers, directory, checkpoints, history, job, stop)
        with mirror.during(job) if mirror else contextlib.nullcontext(), trackers.during(job):
            yield run


@contextlib.contextmanager
def _opened_by_follower(
    asked: Config, towers: Topology, directory: RunDirectory, job: Job, stop: Preemption
) -> Iterator[Run | None]:
    """A follower's run. The chief settles its configuration; its run directory may lie on another disk."""
    history = directory.history()
    if history.finished(asked.steps, asked.early_stop):  # the others may have left after the result
        yield None
        return
    config, finished = job.meet(asked)
    if job.newcomers:
        _check_shared(directory, job, job.newcomers)
    if finished:
        yield None
    else:
        yield _started(config, towers, directory, Checkpoints(directory.checkpoints), history, job, stop)


def _check_shared(directory: RunDirectory, job: Job, newcomers: Newcomers) -> None:
    """Raises UsageError unless this worker sees the chief's run directory; the others go on without it."""
    try:
        membership.check_shared(directory, newcomers)
    except UsageError as error:
        job.part(PeerLostError(str(error)))
        raise


def _check_nothing_is_lost(checkpoints: Checkpoints, history: History) -> None:
    """Raises StorageError if the run had a checkpoint that is gone: a start from step 0 would bury the run."""
    step, leftovers = max(history.last_checkpoint, history.result.get("step", 0)), checkpoints.leftovers()
    if step or leftovers:
        trace = f"the run saved one at step {step}" if step else f"{leftovers[0]} was part of one"
        raise StorageError(
            f"{checkpoints.directory} holds no checkpoint, but {trace}; bring it back (is its disk mounted?), "
            "or start anew in another --run_dir"
        )


def _show_finished(directory: RunDirectory, history: History, quiet: bool) -> None:
    terminal = Terminal(quiet)
    more = "no or another --early_stop" if history.result.get("early_stop") else "a larger --steps"
    terminal.line(f"finished already, at step {history.result['step']}: {more} goes on from there")
    terminal.line(tables.pairs(directory.where()))
    terminal.result(json.dumps(history.result))


def _started(
    config: Config,
    towers: Topology,
    directory: RunDirectory,
    checkpoints: Checkpoints,
    history: History,
    job: Job,
    stop: Preemption,
) -> Run:
    """The open run. The state may be large: at the end only the trainer's variables hold it."""
    directory.check_code(config.model)
    cluster = Cluster(towers, config)
    with stop.sigterm_retaken():
        devices.start(towers, config)
        cluster.start()
    is_fresh = job.is_chief and not checkpoints.steps()
    source = fine_tuning.source_of(config) if is_fresh else None
    if source:
        config = dataclasses.replace(config, init_sha256=source.parameters_sha256)
    assembly = Assembly(config, towers)
    values = assembly.initial()
    _check_same_examples(assembly, cluster)
    _ = assembly.metrics  # raises for one that the examples do not have
    restored = _restored(assembly, checkpoints, values) if job.is_chief else None
    step = restored.manifest.step if restored else 0
    imported = fine_tuning.match(values, source) if source else None
    values = restored.values if restored else imported.values if imported else values
    rollbacks = restored.manifest.rollbacks if restored else ()
    start, values = starting_point.from_chief(cluster, StartingPoint.at(step, history, rollbacks), values)
    assembly.rollbacks = start.rollbacks
    trainer = Trainer(assembly, values, cluster.add)
    restarts = len(history.launches)
    journal = _opened_journal(config, towers, directory, history, start.step)
    run = Run(config, towers, directory, checkpoints, journal, assembly, trainer, cluster, job, stop, start, restarts)
    if job.is_chief:
        directory.record(config)
        announcements.announce(run, restored, imported)
        checkpoints.tidy(restored.passed_over if restored else {})
    if not cluster.alone:
        log = directory.log(towers.workers.index)
        job.watch(log, lambda error: journal.event("peer_lost", job.phases.current.step, why=str(error)), cluster)
    return run


def _check_same_examples(assembly: Assembly, cluster: Cluster) -> None:
    """Raises BadDataError naming the workers whose examples are not those of worker 0."""
    if wrong := cluster.unequal(assembly.about()["examples"]):
        raise BadDataError(
            f"{', '.join(wrong)} found other examples in source={assembly.config.source} than worker 0; "
            "give every host the same files"
        )


def _restored(assembly: Assembly, checkpoints: Checkpoints, initial: state.Values) -> Restored | None:
    """The newest good checkpoint, if there is one. Raises UsageError if --steps is less than its step."""
    restored = checkpoints.newest(lambda candidate: resume.fitted(candidate, initial))
    if restored:
        resume.check_examples(restored, assembly.about())
        if assembly.config.same_hardware == "required":
            resume.check_hardware(restored)
        step, steps = restored.manifest.step, assembly.config.steps
        if step > steps:
            raise UsageError(f"steps={steps} lies before the newest checkpoint, of step {step}; give more")
    return restored


def _opened_journal(config: Config, towers: Topology, directory: RunDirectory, history: History, step: int) -> Journal:
    """The journal of this process. The chief's drops all lines and events of steps after `step`."""
    if not towers.workers.is_chief:
        return FollowerJournal(directory.log(towers.workers.index), step)
    return Journal(directory.path, step, Terminal(config.quiet, config.verbose), history)
