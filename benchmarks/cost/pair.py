"""One of two workers that time their collectives: python -m benchmarks.cost.pair INDEX ADDRESS,ADDRESS.

Its last line is JSON. turns: for each number of elements, the least seconds of an all-to-all and a gather, by the clock
and of the processor. busy_s: the median seconds of the smallest of them while both compute. example_s: of a pass, while
the other worker computes as much.
"""

import contextlib
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator

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
    with on_host(where):
        group = Group(_KEY, 2, "ring")

        def timed_turns(number: int) -> tuple[list[float], float]:
            def turn(value: tf.Tensor, instance: int) -> tf.Tensor:
                received = group.exchange(tf.reshape(value, [2, -1]), instance)
                return tf.ensure_shape(group.gather(received[0], instance + 1), value.shape)

            return timed(_in_turns(turn, 1 + 2 * number), tf.zeros([SIZES[number]]), cluster.barrier)

        found = [(size, timed_turns(number)) for number, size in enumerate(SIZES)]
        with _computing():
            busy, _ = timed_turns(0)
    turns = [(size, min(seconds), taken) for size, (seconds, taken) in found]
    print(json.dumps({"turns": turns, "busy_s": statistics.median(busy), "example_s": example_s}))
    cluster.part()


@contextlib.contextmanager
def _computing() -> Iterator[None]:
    """Inside, a thread multiplies matrices without a pause."""
    import tensorflow as tf

    ended = threading.Event()
    factor = tf.ones([512, 512])

    def multiply() -> None:
        while not ended.is_set():
            tf.matmul(factor, factor).numpy()

    thread = threading.Thread(target=multiply)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _in_turns(turn: Callable, instance: int) -> Callable:
    import tensorflow as tf

    def body(number, value):
        return number + 1, turn(value, instance)

    @tf.function(autograph=False)
    def turns(value: tf.Tensor) -> tf.Tensor:
        start = (tf.constant(0), value)
        return tf.while_loop(lambda number, _: number < TURNS, body, start, parallel_iterations=1)[1]

    return turns


def timed(turns: Callable, value: object, ready: Callable[[], None]) -> tuple[list[float], float]:
    """The seconds of a turn in each call by the clock, and the least of the processor's."""
    turns(value)  # traces
    seconds, taken = [], []
    for _ in range(CALLS):
        ready()
        began, used = time.perf_counter(), time.process_time()
        turns(value)
        seconds.append((time.perf_counter() - began) / TURNS)
        taken.append((time.process_time() - used) / TURNS)
    return seconds, min(taken)


if __name__ == "__main__":
    main(*sys.argv[1:])
