"""One of two workers that time their collectives: python -m benchmarks.cost.pair INDEX ADDRESS,ADDRESS.

Its last line is JSON. turns: for each number of elements, the seconds and the processor's seconds of an all-to-all and
a gather. example_s: of a pass, while the other worker computes as much.
"""

import json
import sys
import time
from collections.abc import Callable

from benchmarks.cost import passes
from pipeline.config import Config
from pipeline.process.startup import import_tensorflow

SIZES = (64, 1 << 18, 1 << 20, 1 << 22)  # elements
TURNS = 10  # in one call of TensorFlow
CALLS = 5
_KEY = 77  # of the group; no other's


def main(index: str, addresses: str) -> None:
    """Times them and prints the line."""
    import_tensorflow()
    import tensorflow as tf

    from pipeline.engine import devices, topology
    from pipeline.engine.towers import on_host
    from pipeline.workers import discovery
    from pipeline.workers.cluster import Cluster
    from pipeline.workers.collectives import Group

    config = Config(worker_addresses=addresses, worker_index=int(index), towers=1, intra_op_threads=1)
    where = topology.from_config(config, 0, discovery.workers(config))
    cluster = Cluster(where, config)
    devices.start(where, config)
    cluster.start()
    cluster.barrier()
    example_s = passes.measured(where.workers)["example_s"]
    found = []
    with on_host(where):
        group = Group(_KEY, 2, "ring")
        for number, size in enumerate(SIZES):

            def turn(value: tf.Tensor, instance: int) -> tf.Tensor:
                received = group.exchange(tf.reshape(value, [2, -1]), instance)
                return tf.ensure_shape(group.gather(received[0], instance + 1), value.shape)

            found.append((size, timed(_in_turns(turn, 1 + 2 * number), tf.zeros([size]), cluster.barrier)))
    print(json.dumps({"turns": found, "example_s": example_s}))
    cluster.barrier()


def _in_turns(turn: Callable, instance: int) -> Callable:
    import tensorflow as tf

    def body(number, value):
        return number + 1, turn(value, instance)

    @tf.function(autograph=False)
    def turns(value: tf.Tensor) -> tf.Tensor:
        start = (tf.constant(0), value)
        return tf.while_loop(lambda number, _: number < TURNS, body, start, parallel_iterations=1)[1]

    return turns


def timed(turns: Callable, value: object, ready: Callable[[], None]) -> tuple[float, float]:
    """The least seconds of a turn by the clock, and the least of the processor's."""
    turns(value)  # traces
    seconds, taken = [], []
    for _ in range(CALLS):
        ready()
        began, used = time.perf_counter(), time.process_time()
        turns(value)
        seconds.append((time.perf_counter() - began) / TURNS)
        taken.append((time.process_time() - used) / TURNS)
    return min(seconds), min(taken)


if __name__ == "__main__":
    main(*sys.argv[1:])
