"""The passes and the update of `convolutional`, timed in this process on the cores that it has."""

from benchmarks.cost.timing import line, processor_s
from pipeline.config import Config, resolve
from pipeline.engine import topology
from pipeline.engine.topology import ALONE, Workers

BATCHES = (64, 256)
STEPS, CALLS = 5, 2  # of TensorFlow's function in a call, and calls in a round


def measured(workers: Workers = ALONE) -> dict[str, float]:
    """example_s and update_s, in float32 with one thread. No gradient is sent to the other workers, if there are any.

    TensorFlow's devices may be started already.
    """
    update_s, example_s = line(BATCHES, [_step_s(batch, workers) for batch in BATCHES])
    return {"example_s": example_s, "update_s": update_s}


def _step_s(batch: int, workers: Workers) -> float:
    from pipeline.engine import devices
    from pipeline.engine.assembly import Assembly
    from pipeline.engine.trainer import Trainer

    all_of_them = workers.count * batch
    asked = Config(source="fake:1000", model="convolutional", global_batch=all_of_them, towers=1, intra_op_threads=1)
    where = topology.from_config(asked, 0, workers)
    config = resolve(asked, where.total_towers)
    devices.start(where, config)
    assembly = Assembly(config, where)
    trainer = Trainer(assembly, assembly.initial())
    reached = [0]

    def advance() -> None:
        trainer.advance(reached[0], reached[0] + STEPS)
        reached[0] += STEPS

    return processor_s(advance, times=CALLS) / STEPS
