"""The price of checkpoints of large states: python -m benchmarks.checkpoints [flags].

For each network a run saves every --every steps, and another one saves only its last step; they take turns. Printed
are the seconds that each save adds to the run, the time and rate of a write beside that of dd, what the writes add to
the peak of memory, and the time of a restore.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.tables import columns

NETWORKS = {  # name -> flags
    "resnet50": ("--model=resnet50", "--source=fake:200", "--image_size=64", "--global_batch=8"),
    "large": ("--model=benchmarks.checkpoints:large", "--source=fake:200", "--global_batch=8"),
}
UNITS = 9000


def large(image_shape: tuple[int, int, int], num_classes: int) -> Any:
    """A network of 88 million parameters, which with Adam's slots are 1.06 GB of state."""
    from keras import Input, Model, layers

    images = Input(image_shape)
    hidden = layers.Dense(UNITS, activation="relu")(layers.Flatten()(images))
    hidden = layers.Dense(UNITS, activation="relu")(hidden)
    return Model(images, layers.Dense(num_classes)(hidden))


def run(directory: Path, network: str, steps: int, every: int) -> dict[str, Any]:
    """The result of a run, and the seconds of its writes and of their files."""
    flags = (*NETWORKS[network], f"--steps={steps}", f"--checkpoint_every={every}", f"--run_dir={directory}")
    rest = ("--keep_checkpoints=1", "--eval_every=0", "--log_every=0", "--eval_batch=20", "--quiet")
    words = [sys.executable, "-m", "pipeline.train", *flags, *rest]
    result = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    saves = [line for line in lines if line["event"] == "checkpoint"]
    return {**result, "saves": saves}


def dd_seconds(directory: Path, size: int) -> float:
    """The time in which dd writes as many bytes to the same disk, synced."""
    path, started = directory / "zeros", time.perf_counter()
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={path}", "bs=1M", f"count={size >> 20}", "conv=fsync"],
        capture_output=True,
        check=True,
    )
    seconds = time.perf_counter() - started
    path.unlink()
    return seconds


def restore_seconds(directory: Path) -> float:
    """The time in which the newest checkpoint is verified and read, in a process of its own."""
    code = (
        "import sys, time; from pathlib import Path; from pipeline.process.startup import import_tensorflow; "
        "import_tensorflow(); from pipeline.runs.checkpoints import Checkpoints; started = time.perf_counter(); "
        "Checkpoints(Path(sys.argv[1])).newest(); print(time.perf_counter() - started)"
    )
    words = [sys.executable, "-c", code, str(directory / "checkpoints")]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def measure(network: str, options: argparse.Namespace) -> tuple[str, ...]:
    """A row of the table: the medians of all rounds."""
    found: dict[str, list[float]] = {}

    def note(**figures: float) -> None:
        for name, figure in figures.items():
            found.setdefault(name, []).append(figure)

    size = 0
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            place = Path(scratch)
            saving = run(place / "saving", network, options.steps, options.every)
            plain = run(place / "plain", network, options.steps, 0)
            assert saving["parameters_sha256"] == plain["parameters_sha256"]
            extra, size = len(saving["saves"]) - len(plain["saves"]), saving["saves"][0]["bytes"]
            spent = [sum(r["seconds"][phase] for phase in ("compute", "saving", "input")) for r in (saving, plain)]
            note(
                stall=(spent[0] - spent[1]) / extra,
                waited=(saving["seconds"]["saving"] - plain["seconds"]["saving"]) / extra,
                step=(plain["seconds"]["compute"] + plain["seconds"]["input"]) / (options.steps - 1),
                write=statistics.median(save["seconds"] for save in saving["saves"]),
                memory=saving["peak_mib"]["host"] - plain["peak_mib"]["host"],
                peak=plain["peak_mib"]["host"],
                dd=dd_seconds(place, size),
                restore=restore_seconds(place / "saving"),
            )
    m = {name: statistics.median(figures) for name, figures in found.items()}
    rates = (f"{size / m[name] / 1e6:.0f} MB/s" for name in ("write", "dd"))
    times = (f"{m[name]:.2f} s" for name in ("step", "stall", "waited", "write"))
    return (
        network,
        f"{size / 1e6:.0f} MB",
        *times,
        *rates,
        f"{m['memory']:+.0f} of {m['peak']:.0f} MiB",
        f"{m['restore']:.2f} s",
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.checkpoints", description=__doc__.split(":")[0])
    parser.add_argument("--networks", default="resnet50,large", help="default: resnet50,large")
    parser.add_argument("--steps", type=int, default=51, help="of a run (default: 51)")
    parser.add_argument("--every", type=int, default=10, help="steps between saves (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs (default: 3)")
    parser.add_argument("--scratch", type=Path, help="a directory on the disk to measure (default: a temporary one)")
    options = parser.parse_args()
    about = describe(options)
    print(f"{about['cores']} cores of {about['processor']}, load {about['load_average_before']:.1f} before")
    header = (
        "network",
        "state",
        "step",
        "a save adds",
        "of it waiting",
        "a write",
        "its rate",
        "dd",
        "memory",
        "restore",
    )
    print(columns(header, [measure(network, options) for network in options.networks.split(",")]))


if __name__ == "__main__":
    main()
