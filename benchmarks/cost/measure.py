"""Measures what the model of cost is made of: python -m benchmarks.cost.measure [--json=FILE], in about a minute.

Two workers with a core each time collectives over loopback, and between two network namespaces, where they may be
made; so do two on one core. Then one process times the passes, the handling of a gradient, datagrams, hashes and the
disk. Seconds of the processor are used where they can be, since other work on the machine changes them less. Two
workers are all that is measured of several: more of them are predicted.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import layouts
from benchmarks.cost import passes
from benchmarks.cost.timing import line, processor_s
from benchmarks.machine import describe
from benchmarks.tables import columns
from pipeline.process.startup import import_tensorflow
from tests.support.cluster.hosts import missing

MIB = 1 << 20
WORKERS = 8  # of the sum whose handling is timed
HANDLED = (1 << 16, 1 << 20)  # elements
NEWS = (64, 1024)  # workers of whom a word tells
BATCHES = (64, 256)


def of_two(link: str = "") -> tuple[dict[str, float], float]:
    """hop_s, message_s and byte_s of hosts.Link, and example_s where both work at once, with a core each.

    A turn has 2 hops, 2 messages, and the bytes of its vector. link: as `layouts.placed` takes it.
    """
    found = _of_two(link, layouts.cores_of(1, 2))
    sizes, clock, processor = zip(*found["turns"], strict=True)
    message_s = processor[0] / 2
    _, byte_s = line([4 * size for size in sizes], processor)
    between = {"hop_s": max(0.0, clock[0] / 2 - message_s), "message_s": message_s, "byte_s": byte_s}
    return between, found["example_s"]


def queue_s() -> float:
    """queue_s of hosts.Host: two workers on one core wait for each other when both compute."""
    found = _of_two("", layouts.cores_of(1, 2)[:1] * 2)
    _, idle_s, _ = found["turns"][0]
    return max(0.0, found["busy_s"] - idle_s) / 2


def _of_two(link: str, cores: Sequence[Sequence[int]]) -> dict[str, Any]:
    with layouts.placed(2, link) as places:
        addresses = ",".join(place.address for place in places)
        pair = [sys.executable, "-m", "benchmarks.cost.pair"]
        commands = [[*place.before, *pair, str(index), addresses] for index, place in enumerate(places)]
        return layouts.chiefs_last_line(commands, cores, [{}, {}], stdin="")


class _Silent:
    """Stands for collectives.Group: it gives back what it is given, so that only the worker's own work is left."""

    def __init__(self, size: int = WORKERS):
        self.size = size

    def subgroup(self, key: int, size: int) -> "_Silent":
        return _Silent(size)

    def ranked(self, index: int, instance: int) -> list[int]:
        return list(range(self.size))

    def exchange(self, parts, instance: int):
        return parts

    def gather(self, value, instance: int):
        import tensorflow as tf

        return tf.tile(value, [self.size])


def handled_byte_s() -> float:
    """Seconds to pack, add and unpack a byte of a gradient."""
    import tensorflow as tf

    from pipeline.config import Config
    from pipeline.workers.gradient_sum import GradientSum

    sums = GradientSum(_Silent(), 0, Config())  # type: ignore[arg-type]

    def seconds(elements: int) -> float:
        add = tf.function(lambda value: sums.added([value], [])[0], autograph=False)
        value = tf.zeros([elements])
        return processor_s(lambda: add(value), times=50)

    return line([4 * elements for elements in HANDLED], [seconds(elements) for elements in HANDLED])[1]


def words() -> dict[str, float]:
    """word_written_s and word_read_s: a datagram of a worker in training, with the seal. hello_compared_s. news_s."""
    from pipeline.config import Config
    from pipeline.workers.hearsay import Hearsay
    from pipeline.workers.news import News
    from pipeline.workers.versions import versions
    from pipeline.workers.words import Word, opened, shaped_like, value_of

    status = {"phase": "training", "step": 1000, "arrived": 1000, "seconds": 0.1, "late": False, "pace": [1000.0] * 12}
    word = Word(1000, "0" * 32, 1000, "1" * 32, None, True, status, None)
    secret = bytes(32)
    datagram = word.datagram(secret)

    def read() -> None:
        assert Word.read(value_of(opened(datagram, secret) or b"")) == word

    flags = Config().mathematics()
    hello = {"asked": flags, "versions": versions(), "settled": flags, "finished": False}
    own = json.loads(json.dumps(hello))

    def compare() -> None:  # as a worker does with what others say of themselves
        assert shaped_like(hello, own) and all(shaped_like(hello[part], own[part]) for part in own)

    def told(workers: int, met: bool = False) -> float:  # by a word of so many workers
        hearsay = Hearsay(0, workers, "0" * 32)
        for other in range(1, workers if met else 1):
            hearsay.hear(other, f"{other}", 0, status)
        if met:
            hearsay.settle()
            hearsay.take(dataclasses.replace(hearsay.news(999, status), met=(1 << workers) - 1))
        news = hearsay.news(1000, status)
        saying = dataclasses.replace(word, news=news.value(workers))
        said = saying.datagram(secret)

        def hear() -> None:
            heard = Word.read(value_of(opened(said, secret) or b""))
            found = News.read(heard.news, workers) if heard else None
            assert found is not None
            hearsay.take(found)

        return processor_s(lambda: saying.datagram(secret), times=1000) + processor_s(hear, times=1000)

    written_s, read_s = processor_s(lambda: word.datagram(secret), times=1000), processor_s(read, times=1000)
    news_s, news_of_worker_s = line(NEWS, [told(workers) for workers in NEWS])
    return {
        "pulse_news_s": max(0.0, told(NEWS[0], met=True) - written_s - read_s),
        "news_s": max(0.0, news_s - written_s - read_s),
        "news_of_worker_s": news_of_worker_s,
        "hello_compared_s": processor_s(compare, times=1000),
        "bytes_of_hello": float(len(json.dumps(hello))),
        "word_written_s": written_s,
        "word_read_s": read_s,
        "bytes_of_word": float(len(datagram)),
    }


def rates() -> dict[str, float]:
    """Bytes a second of SHA-256, and of a file written and synced."""
    block = os.urandom(32 * MIB)
    hashed = len(block) / processor_s(lambda: hashlib.sha256(block), times=3)
    with tempfile.TemporaryFile() as file:
        began = time.perf_counter()
        for _ in range(4):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return {"hashed_bytes_per_s": hashed, "disk_bytes_per_s": 4 * len(block) / (time.perf_counter() - began)}


def main() -> None:
    """Measures, prints the table and writes the file."""
    parser = argparse.ArgumentParser("python -m benchmarks.cost.measure", description=__doc__.split(":")[0])
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    found: dict[str, Any] = describe(options)
    del found["options"]
    link, crowded_s = of_two()
    if not missing():
        link |= {f"packet_{name}": value for name, value in of_two(layouts.UNLIMITED)[0].items()}
    queue = queue_s()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])  # one core, as a worker of the comparison has
    import_tensorflow()
    alone = passes.measured()
    found |= {**link, "queue_s": queue, **alone, "crowding": max(1.0, crowded_s / alone["example_s"])}
    found |= {"handled_byte_s": handled_byte_s(), **words(), **rates()}
    print(columns(["parameter", "value"], [(name, f"{value}") for name, value in found.items()]))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
