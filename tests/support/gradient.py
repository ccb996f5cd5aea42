"""One worker's part of one gradient, on one core: python gradient.py FLAGS. Its last line is JSON.

sha256: of the gradient. start: the first numbers of each parameter's. at_once: operations that may run at a time.
"""

import json
import os

from pipeline.cli import command, flags
from pipeline.process.startup import import_tensorflow


def main() -> None:
    asked = flags.configuration()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    import_tensorflow()
    import tensorflow as tf

    from pipeline.engine import devices, state, topology
    from pipeline.engine.assembly import Assembly
    from pipeline.engine.trainer import Trainer
    from pipeline.workers import discovery
    from pipeline.workers.cluster import Cluster

    towers = topology.from_config(asked, 0, discovery.workers(asked))
    cluster = Cluster(towers, asked)
    devices.start(towers, asked)
    cluster.start()
    assembly = Assembly(asked, towers)
    gradient = Trainer(assembly, assembly.initial(), cluster.add).gradient(3).by_parameter
    start = [value.ravel()[:20].tolist() for value in gradient.values()]
    at_once = tf.config.threading.get_inter_op_parallelism_threads()
    print(json.dumps({"sha256": state.sha256(gradient), "start": start, "at_once": at_once}))
    cluster.part()


if __name__ == "__main__":
    command.run(main, flags.define, usage="python gradient.py [flags of pipeline.train]")
