"""What a run would do: its towers, their batches, and the first steps' examples and rates."""

import json

from pipeline.engine import schedules
from pipeline.engine.assembly import Assembly

STEPS_SHOWN, EXAMPLES_SHOWN = 5, 10


def show(assembly: Assembly, start: int) -> None:
    """Prints the configuration, and the plan from step `start` on; writes nothing, trains nothing."""
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
