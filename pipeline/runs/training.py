"""A training run from its directory to its end: own it, settle what it is, restore it, and let the loop go."""

import dataclasses
import json
from pathlib import Path

from pipeline.engine import devices, state, topology
from pipeline.runs import dry_run
from pipeline.engine.assembly import Assembly
from pipeline.config import Config
from pipeline.errors import BadDataError, PeerLostError, UsageError
from pipeline.runs.loop import Loop
from pipeline.monitoring import hparams, terminal
from pipeline.monitoring.journal import Aside, Journal, markdown_table
from pipeline.runs import resume
from pipeline.runs.settings import settle
from pipeline.runs.checkpoints import Checkpoints, Manifest, Restored
from pipeline.runs.run_directory import RunDirectory
from pipeline.process.preemption import Preemption
from pipeline.runs import fine_tuning
from pipeline.runs.fine_tuning import Imported
from pipeline.engine.topology import Topology
from pipeline.engine.trainer import Trainer
from pipeline.workers import discovery
from pipeline.workers.slurm import job_attempt
from pipeline.workers.job import Job
from pipeline.runs.starting_point import StartingPoint, shared_start


def run(asked: Config, preemption: Preemption) -> None:
    """Starts the run that the configuration names, or goes on with it. Raises PipelineError."""
    towers = topology.of(asked, devices.num_gpus(), discovery.workers(asked))
    directory = RunDirectory(Path(asked.run_dir))
    if asked.dry_run:
        checkpoints = Checkpoints(directory.checkpoints)
        config = settle(asked, directory.recorded(), checkpoints.steps(), towers)
        dry_run.show(Assembly(config, towers), start=max(checkpoints.steps(), default=0))
        return
    job = Job(asked, towers, preemption)
    with job.joined():
        if towers.workers.is_chief:
            _lead(asked, towers, directory, job, preemption)
        else:
            _follow(asked, towers, directory, job, preemption)


def _lead(asked: Config, towers: Topology, directory: RunDirectory, job: Job, preemption: Preemption) -> None:
    """The chief's part: the run directory is its own, and what lies there decides."""
    checkpoints = Checkpoints(directory.checkpoints)
    config = settle(asked, directory.recorded(), checkpoints.steps(), towers)
    if not checkpoints.steps():
        fine_tuning.check(config)
    # The directory is made only now, and what was settled is settled again: until here it could be another's.
    with directory.own(job_attempt()) as ownership:
        config = settle(asked, directory.recorded(), checkpoints.steps(), towers)
        job.watchdog.check_owner = checkpoints.check_owner = ownership.check
        finished = _is_finished(directory, config)
        config, _ = job.meet(config, finished)
        if finished:
            _say_finished(directory, asked.quiet)
        else:
            _train(_assembled(config, towers, preemption), directory, checkpoints, job, preemption)


def _follow(asked: Config, towers: Topology, directory: RunDirectory, job: Job, preemption: Preemption) -> None:
    """Any other worker's part: what the chief says decides, and the run directory need not be the chief's."""
    if _is_finished(directory, asked):  # the others may have left with the result
        return
    config, finished = job.meet(asked)
    if not finished:
        assembly = _assembled(config, towers, preemption)
        _train(assembly, directory, Checkpoints(directory.checkpoints), job, preemption)


def _assembled(config: Config, towers: Topology, preemption: Preemption) -> Assembly:
    with preemption.kept():
        return Assembly(config, towers)


def _is_finished(directory: RunDirectory, config: Config) -> bool:
    result = directory.result()
    return result is not None and result["step"] >= config.steps


def _say_finished(directory: RunDirectory, quiet: bool) -> None:
    result = directory.result()
    assert result is not None
    terminal = terminal.Terminal(quiet)
    terminal.line(f"finished already, at step {result['step']}: a larger --steps goes on from there")
    terminal.line(terminal.table(directory.where()))
    terminal.result(json.dumps(result))


def _train(
    assembly: Assembly, directory: RunDirectory, checkpoints: Checkpoints, job: Job, preemption: Preemption
) -> None:
    trainer, assembly, journal, start = _started(assembly, directory, checkpoints, job)
    try:
        with job.together():
            Loop(assembly, trainer, directory, checkpoints, journal, preemption, job, start).go()
    except PeerLostError as error:
        journal.event("peer_lost", job.progress.phase.step, why=str(error))
        raise
    finally:
        journal.close()


def _started(
    assembly: Assembly, directory: RunDirectory, checkpoints: Checkpoints, job: Job
) -> tuple[Trainer, Assembly, Journal, StartingPoint]:
    """What the loop takes. From here on the trainer's variables alone hold the state, which may be large."""
    values = assembly.initial()
    _check_same_examples(assembly)
    restored = _restore(assembly, checkpoints, values) if job.is_chief else None
    imported = fine_tuning.imported(assembly.config, values) if job.is_chief and not restored else None
    step = 0
    if restored:
        step, values = restored.manifest.step, restored.values
    elif imported:
        values, assembly = imported.values, assembly.started_from(imported.source.parameters_sha256)
    start, values = shared_start(assembly.cluster, StartingPoint.at(step, directory), values)
    journal = _opened_journal(assembly, directory, checkpoints, restored, start.step)
    if imported:
        _tell_import(journal, imported)
    job.watch(directory, journal, assembly.cluster)
    return Trainer(assembly, values), assembly, journal, start


def _check_same_examples(assembly: Assembly) -> None:
    """Raises BadDataError naming the workers that see other examples than the first."""
    chiefs, *others = assembly.cluster.gather_json(assembly.about()["examples"])
    wrong = [f"worker {index}" for index, found in enumerate(others, start=1) if found != chiefs]
    if wrong:
        raise BadDataError(
            f"{', '.join(wrong)} found other examples in source={assembly.config.source} than worker 0; "
            "give every host the same files"
        )


def _restore(assembly: Assembly, checkpoints: Checkpoints, initial: state.Values) -> Restored | None:
    """The newest checkpoint that verifies, if any lies there. Raises UsageError if --steps lies before it."""
    restored = checkpoints.newest(lambda candidate: resume.fitted(candidate, initial))
    if restored:
        resume.check_examples(restored, assembly.about())
        step, steps = restored.manifest.step, assembly.config.steps
        if step > steps:
            raise UsageError(f"steps={steps} lies before the newest checkpoint, of step {step}; give more")
    return restored


def _opened_journal(
    assembly: Assembly, directory: RunDirectory, checkpoints: Checkpoints, restored: Restored | None, step: int
) -> Journal:
    """The journal, with what there is to tell of this start; the run directory is ready for it."""
    workers = assembly.topology.workers
    if not workers.is_chief:
        return Aside(directory.log(workers.index), step)
    directory.record(assembly.config)
    config = assembly.config
    journal = Journal(directory.path, step, terminal.Terminal(config.quiet, config.verbose))
    _tell_start(journal, assembly, restored, restarts=directory.starts())
    if restored:
        _tell_reshard(journal, directory, restored.manifest, assembly.config.grad_shards)
    checkpoints.tidy(restored.passed_over if restored else {})
    return journal


def _tell_start(journal: Journal, assembly: Assembly, restored: Restored | None, restarts: int) -> None:
    config, step = assembly.config, restored.manifest.step if restored else 0
    for why in restored.passed_over.values() if restored else ():
        journal.progress(f"passed over: {why}")
    if restored:
        journal.progress(f"resumed at step {step}, {restored.manifest.state_sha256[:16]}")
        journal.event("resume", step, passed_over=list(restored.passed_over.values()))
    else:
        journal.text("run/configuration", markdown_table(dataclasses.asdict(config)), step)
        journal.job(step, hparams.start(config))
    towers, workers = assembly.topology, assembly.topology.workers
    devices = ", ".join(f"{kind.lower()}:{index}" for kind, index in towers.towers)
    where = devices if workers.count == 1 else f"{workers.count} workers with {devices} each"
    if restarts:
        journal.text("run/restarts", f"restart {restarts}, at step {step}, on {where}", step)
    counts = {"workers": workers.count, "towers": towers.total_towers, "grad_shards": config.grad_shards}
    journal.event("start", step, devices=devices, **counts)
    journal.progress(f"{config.model} on {config.source}: {where}, {config.grad_shards} shards, in {config.run_dir}")


def _tell_import(journal: Journal, imported: Imported) -> None:
    journal.event("import", 0, **imported.told())
    for line in imported.lines():
        journal.progress(line)


def _tell_reshard(journal: Journal, directory: RunDirectory, manifest: Manifest, grad_shards: int) -> None:
    """Tells, once, from which step on the shards are others; whoever asked for it may have been killed before that."""
    before = manifest.config["grad_shards"]
    if before != grad_shards and not directory.told("reshard", manifest.step):
        journal.event("reshard", manifest.step, grad_shards=grad_shards, before=before)
