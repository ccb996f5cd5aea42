"""--dry_run: the towers of a run, their batches, and the examples and rates of its next steps."""

import json
from pathlib import Path

from pipeline.config import Config
from pipeline.engine import devices, schedules, topology
from pipeline.engine.assembly import Assembly
from pipeline.runs import settings
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory
from pipeline.runs.starting_point import StartingPoint
from pipeline.workers import discovery

STEPS_SHOWN, EXAMPLES_SHOWN = 5, 10


def show(asked: Config) -> None:
    """Prints the settled configuration and the plan of the next steps. Nothing is written, nothing trained.

    Raises PipelineError where the run could not start.
    """
    towers = topology.from_config(asked, devices.num_gpus(), discovery.workers(asked))
    directory = RunDirectory(Path(asked.run_dir))
    checkpoints = Checkpoints(directory.checkpoints)
    config = settings.settle(asked, directory.recorded(), checkpoints.steps(), towers)
    devices.start(towers, config)
    assembly, start = Assembly(config, towers), max(checkpoints.steps(), default=0)
    if start:
        recorded = checkpoints.manifest(start).rollbacks
        assembly.rollbacks = StartingPoint.at(start, directory.history(), recorded).rollbacks
    _show_plan(assembly, start)


def _show_plan(assembly: Assembly, start: int) -> None:
    """Prints the configuration, and the plan from step `start` on."""
    config, plan, topology = assembly.config, assembly.plan, assembly.topology
    splits = assembly.splits
    print(config.to_flags(), end="")
    print(f"run directory: {config.run_dir}, {f'going on at step {start}' if start else 'at its start'}")
    print(f"examples: {len(splits.train)} train, {len(splits.validation)} validation, {len(splits.test)} test")
    print(f"parameters: {sum(v.shape.num_elements() for v in assembly.model.trainable_variables):,}")
    for tower, device in enumerate(topology.devices):
        shards = topology.shards_of(tower, plan.grad_shards)
        print(f"tower {tower} on {device}: shards {shards.start}-{shards.stop - 1} of {plan.shard_batch} examples")
    for step in range(start, min(start + STEPS_SHOWN, config.steps)):
        indices = plan.indices(plan.positions(step, range(plan.grad_shards))).numpy()[:EXAMPLES_SHOWN].tolist()
        rate = float(schedules.learning_rate(config, step))
        print(json.dumps({"step": step, "learning_rate": rate, "first_indices": indices}))
