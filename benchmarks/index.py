"""Time and memory of the index of many records: python -m benchmarks.index [flags].

For TFRecord and tar files a source is opened twice a round, each time in a process of its own: first the index is
made, then it is there. Printed are the seconds until the source is open, those of all threads' computing (which other
work on the machine changes less), and the growth of the peak memory.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from benchmarks.memory import host_peak_bytes
from pipeline.process.startup import import_tensorflow

CLASSES = 1000


def pictures(options: argparse.Namespace) -> Iterator[tuple[int, str, bytes]]:
    """The number, the name and the bytes of every picture: one JPEG file, filled up to --bytes behind its end."""
    import tensorflow as tf

    whole = tf.io.encode_jpeg(np.zeros([32, 32, 3], np.uint8)).numpy()
    content = whole + bytes(max(0, options.bytes - len(whole)))
    for number in range(options.records):
        label = number % CLASSES
        yield label, f"n{label:08}/n{label:08}_{number}.JPEG", content


def write_tfrecord(path: Path, some: list[tuple[int, str, bytes]]) -> None:
    """A shard with the keys of TensorFlow's ImageNet scripts."""
    import tensorflow as tf

    def feature(**values: object) -> tf.train.Feature:
        return tf.train.Feature(**{kind: {"value": [value]} for kind, value in values.items()})

    with tf.io.TFRecordWriter(str(path)) as writer:
        for label, name, content in some:
            features = {
                "image/encoded": feature(bytes_list=content),
                "image/class/label": feature(int64_list=label + 1),
                "image/class/text": feature(bytes_list=name.split("/")[0].encode()),
                "image/filename": feature(bytes_list=name.encode()),
            }
            writer.write(tf.train.Example(features={"feature": features}).SerializeToString())


def write_tar(path: Path, some: list[tuple[int, str, bytes]]) -> None:
    """A shard as WebDataset writes it."""
    with tarfile.open(path, "w") as archive:
        for label, name, content in some:
            for suffix, part in ((".JPEG", content), (".cls", str(label).encode())):
                member = tarfile.TarInfo(name.removesuffix(".JPEG") + suffix)
                member.size = len(part)
                archive.addfile(member, io.BytesIO(part))


WRITERS = {"tfrecord": write_tfrecord, "tar": write_tar}


def write(kind: str, directory: Path, options: argparse.Namespace) -> None:
    """All shards of a kind, train-00000.KIND and so on."""
    some: list[tuple[int, str, bytes]] = []
    number = 0
    for picture in pictures(options):
        some.append(picture)
        if len(some) == -(-options.records // options.shards):
            WRITERS[kind](directory / f"train-{number:05}.{kind}", some)
            some, number = [], number + 1
    if some:
        WRITERS[kind](directory / f"train-{number:05}.{kind}", some)


def open_once(spec: str) -> dict[str, float]:
    """The seconds until a source is open, and by how much that raises this process's peak memory."""
    import_tensorflow()
    from pipeline import sources
    from pipeline.config import Config

    sources.open_splits(Config(source="fake:100"))  # what every source loads and starts
    before, begun, computed = host_peak_bytes(), time.perf_counter(), time.process_time()
    splits = sources.open_splits(Config(source=spec, image_size="32"), examine=False)
    seconds, computed, peak = time.perf_counter() - begun, time.process_time() - computed, host_peak_bytes()
    records = sum(map(len, vars(splits).values()))
    return {"records": records, "seconds": seconds, "cpu": computed, "mib": (peak - before) / 2**20}


def measured(spec: str) -> dict[str, float]:
    """`open_once` in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.index", f"--open={spec}"]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; each has a default."""
    parser = argparse.ArgumentParser("python -m benchmarks.index", description=__doc__.split(":")[0])
    parser.add_argument("--records", type=int, default=100_000, help="default: 100,000")
    parser.add_argument("--shards", type=int, default=100, help="files of each kind (default: 100)")
    parser.add_argument("--bytes", type=int, default=2000, help="of a picture (default: 2,000)")
    parser.add_argument("--rounds", type=int, default=3, help="starts of each kind (default: 3)")
    parser.add_argument("--scratch", type=Path, help="a directory on the disk to measure (default: a temporary one)")
    parser.add_argument("--open", help="open this source in this process and print what it took")
    return parser.parse_args(arguments)


def main() -> None:
    """Writes the shards, opens them, and prints a table."""
    options = parse()
    if options.open:
        print(json.dumps(open_once(options.open)))
        return
    about = describe(options)
    import_tensorflow()
    print(f"{about['cores']} cores of {about['processor']}, load {about['load_average_before']:.1f} before")
    print(f"{options.records:,} records of {options.bytes:,} bytes in {options.shards} files, {options.rounds} rounds")
    print("kind      index     seconds (least, median, most)   CPU s (median)   MiB (median)   bytes a record on disk")
    for kind in WRITERS:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            write(kind, Path(scratch), options)
            kept = Path(scratch) / ".pipeline-index"
            tries: dict[str, list[dict[str, float]]] = {"made": [], "kept": []}
            for _ in range(options.rounds):
                for path in kept.glob("*"):
                    path.unlink()
                for state in tries:
                    tries[state].append(measured(f"{kind}:{scratch}/*.{kind}"))
            size = sum(path.stat().st_size for path in kept.iterdir()) / options.records
            for state, found in tries.items():
                assert {one["records"] for one in found} == {options.records}
                seconds = sorted(one["seconds"] for one in found)
                mib, cpu = (float(np.median([one[column] for one in found])) for column in ("mib", "cpu"))
                shown = f"{seconds[0]:.1f}, {float(np.median(seconds)):.1f}, {seconds[-1]:.1f}"
                print(f"{kind:<9} {state:<9} {shown:<31} {cpu:<16.1f} {mib:<14.0f} {size:.0f}")


if __name__ == "__main__":
    main()
