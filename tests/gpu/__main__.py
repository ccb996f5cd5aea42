"""The promises on a GPU, in real processes, as a table: python -m tests.gpu --json=FILE

No pytest is needed. Each check starts commands and compares what they end with. Checks run beside each other, those of
speed and memory alone; the earlier ones in the list go first. Every line of the table is a comparison; FILE is written
anew after each, with what all processes told. Ends with 0 if all is as promised and nothing was left out.

--device=cpu tries the same on logical CPU towers, with small sizes.
"""

import argparse
import json
import os
import queue
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.gpu import of_bits, of_limits, processes
from tests.gpu.bench import FINE, NO_TIME, WRONG, Bench, Machine, Row
from tests.gpu.processes import OutOfTimeError, Places

CHECKS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "there": of_bits.there,
    "models": of_bits.models,
    "twice": of_bits.twice,
    "towers": of_bits.towers,
    "killed": of_bits.killed,
    "workers": of_bits.workers,
    "moved": of_bits.moved,
    "gradients": of_bits.gradients,
    "tf32": of_bits.tf32,
    "diverged": of_limits.diverged,
    "out_of_memory": of_limits.out_of_memory,
    "memory": of_limits.memory,
    "speed": of_limits.speed,
    "mnist": of_limits.mnist,
}
FORMAT = "{:<13} {:>5}  {:<9}  {}: {}"


class Table:
    """The lines so far: printed, and kept in a file."""

    def __init__(self, path: Path | None):
        self._path, self._began, self.lines = path, time.monotonic(), []

    def add(self, check: str, row: Row, benches: dict[str, Bench]) -> None:
        """Prints a line, and writes the file anew."""
        seconds = time.monotonic() - self._began
        print(FORMAT.format(check, f"{seconds:.0f}", row.verdict, row.what, row.seen), flush=True)
        self.lines.append({"check": check, "at": round(seconds, 1), **row._asdict()})
        if self._path:
            told = {name: bench.records() for name, bench in benches.items()}
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text(json.dumps({"lines": self.lines, "processes": told}, indent=1))
            temporary.replace(self._path)


def in_background(name: str, bench: Bench, found: queue.Queue) -> None:
    """Puts a check's rows into the queue, then None."""

    def work() -> None:
        try:
            for row in CHECKS[name](bench):
                found.put((name, row))
        except OutOfTimeError:
            found.put((name, Row("all that is left of it", "the time was over", NO_TIME)))
        except BaseException:
            found.put((name, Row("the check itself failed", traceback.format_exc(), WRONG)))
        found.put((name, None))

    threading.Thread(target=work, daemon=True).start()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--only", default=",".join(CHECKS), help="checks, by name (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=6, help="no check begins after that (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="the file to write")
    parser.add_argument(
        "--at_once", type=int, default=max(2, min(8, cores // 2)), help="processes (default: %(default)s)"
    )
    parser.add_argument(
        "--mnist", default=os.environ.get("PIPELINE_TEST_MNIST", ""), help="DIR with MNIST's four files"
    )
    return parser.parse_args()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left behind
    asked = parsed()
    names = [name for name in CHECKS if name in asked.only.split(",")]
    if unknown := set(asked.only.split(",")) - set(names):
        raise SystemExit(f"--only: unknown {', '.join(sorted(unknown))}; known: {', '.join(CHECKS)}")
    table, found = Table(asked.json), queue.Queue()
    print(FORMAT.format("check", "at s", "verdict", "what", "seen"))
    with tempfile.TemporaryDirectory(prefix="gpu-", ignore_cleanup_errors=True) as directory:
        places = Places(asked.at_once, time.monotonic() + 60 * asked.minutes)
        machine = Machine(asked.device == "gpu", Path(directory), places, asked.mnist)
        benches = {name: Bench(machine, list(CHECKS).index(name)) for name in names}
        try:
            for name in names:
                in_background(name, benches[name], found)
            left = len(names)
            while left:
                name, row = found.get()
                left -= row is None
                if row is not None:
                    table.add(name, row, benches)
        finally:
            processes.end_all()
            time.sleep(0.2)  # in which the killed ones leave the directory
    verdicts = [line["verdict"] for line in table.lines]
    print(", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts)))
    sys.stdout.flush()
    os._exit(not all(verdict in FINE for verdict in verdicts))


if __name__ == "__main__":
    main()
