"""One worker's part of one gradient: python gradient.py FLAGS. Its last line is {"sha256": ..., "start": [...]}.

start: the first numbers of each parameter's gradient.
"""

import json

from pipeline.cli import command, flags
from pipeline.process.startup import import_tensorflow


def main() -> None:
    asked = flags.configuration()
    import_tensorflow()
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
    print(json.dumps({"sha256": state.sha256(gradient), "start": start}))
    cluster.barrier()


if __name__ == "__main__":
    command.run(main, flags.define, usage="python gradient.py [flags of pipeline.train]")
