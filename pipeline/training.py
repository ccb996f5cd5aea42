"""A training run from its directory to its end: own it, settle what it is, restore it, and let the loop go."""

import dataclasses
import json
from pathlib import Path

from pipeline import devices, dry_run, hparams, progress, resume, topology
from pipeline.assembly import Assembly
from pipeline.checkpoint import Checkpoints, Manifest, Restored
from pipeline.config import Config
from pipeline.exits import UsageError
from pipeline.journal import Journal, markdown_table
from pipeline.loop import Loop
from pipeline.preemption import Preemption
from pipeline.run_directory import RunDirectory
from pipeline.trainer import Trainer


def run(asked: Config, preemption: Preemption) -> None:
    """Starts the run that the configuration names, or goes on with it. Raises PipelineError."""
    towers = topology.of(asked, devices.num_gpus())
    directory = RunDirectory(Path(asked.run_dir))
    checkpoints = Checkpoints(directory.checkpoints)
    config = resume.settle(asked, directory.recorded(), checkpoints.steps(), towers)
    if asked.dry_run:
        dry_run.show(Assembly(config, towers), start=max(checkpoints.steps(), default=0))
        return
    with directory.own():  # made only now, and what was settled is settled again: until here it could be another's
        config = resume.settle(asked, directory.recorded(), checkpoints.steps(), towers)
        if not _say_if_finished(config, directory):
            _train(Assembly(config, towers), directory, checkpoints, preemption)


def _say_if_finished(config: Config, directory: RunDirectory) -> bool:
    result = directory.result()
    if result is None or result["step"] < config.steps:
        return False
    terminal = progress.Terminal(config.quiet)
    terminal.line(f"finished already, at step {result['step']}: a larger --steps goes on from there")
    terminal.line(progress.table(directory.where()))
    terminal.result(json.dumps(result))
    return True


def _train(assembly: Assembly, directory: RunDirectory, checkpoints: Checkpoints, preemption: Preemption) -> None:
    initial = assembly.initial()
    restored = checkpoints.newest(lambda candidate: resume.fitted(candidate, initial))
    if restored:
        resume.check_examples(restored, assembly.about())
    step = restored.manifest.step if restored else 0
    if step > assembly.config.steps:
        raise UsageError(f"steps={assembly.config.steps} lies before the newest checkpoint, of step {step}; give more")
    directory.record(assembly.config)
    config = assembly.config
    journal = Journal(directory.path, step, progress.Terminal(config.quiet, config.verbose))
    _tell_start(journal, assembly, restored, restarts=directory.starts())
    if restored:
        _tell_reshard(journal, directory, restored.manifest, assembly.config.grad_shards)
    checkpoints.tidy(restored.passed_over if restored else {})
    trainer = Trainer(assembly, restored.values if restored else initial)
    try:
        Loop(assembly, trainer, directory, checkpoints, journal, preemption, saved_step=step).go(step)
    finally:
        journal.close()


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
    towers = ", ".join(f"{kind.lower()}:{index}" for kind, index in assembly.topology.towers)
    if restarts:
        journal.text("run/restarts", f"restart {restarts}, at step {step}, on {towers}", step)
    journal.event("start", step, towers=assembly.topology.num_towers, devices=towers, grad_shards=config.grad_shards)
    journal.progress(f"{config.model} on {config.source}: {towers}, {config.grad_shards} shards, in {config.run_dir}")


def _tell_reshard(journal: Journal, directory: RunDirectory, manifest: Manifest, grad_shards: int) -> None:
    """Tells, once, from which step on the shards are others; whoever asked for it may have been killed before that."""
    before = manifest.config["grad_shards"]
    if before != grad_shards and not directory.told("reshard", manifest.step):
        journal.event("reshard", manifest.step, grad_shards=grad_shards, before=before)
