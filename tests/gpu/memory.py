"""The memory of a few steps: python -m tests.gpu.memory [flags of a training].

The last line is {"peak_mib": ..., "seconds": ...}: the most that TensorFlow held of the first GPU, and the time of the
steps; without a GPU peak_mib is null.
"""

import json
import time

from pipeline.cli import command, flags
from pipeline.process.startup import import_tensorflow

WARM, STEPS = 1, 4


def main() -> None:
    asked = flags.configuration()
    import_tensorflow()
    import tensorflow as tf

    from pipeline.engine import devices, topology
    from pipeline.engine.assembly import Assembly
    from pipeline.engine.trainer import Trainer

    towers = topology.from_config(asked, devices.num_gpus())
    devices.start(towers, asked)
    assembly = Assembly(asked, towers)
    trainer = Trainer(assembly, assembly.initial())
    trainer.advance(0, WARM)
    began = time.monotonic()
    trainer.advance(WARM, STEPS)
    seconds = round((time.monotonic() - began) / (STEPS - WARM), 3)
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] // 2**20 if devices.num_gpus() else None
    print(json.dumps({"peak_mib": peak, "seconds": seconds}))


if __name__ == "__main__":
    command.run(main, flags.define, usage="python -m tests.gpu.memory [flags of pipeline.train]")
