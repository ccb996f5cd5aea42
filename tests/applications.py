"""Every family of keras.applications is built and trained one step: python -m tests.applications [NAME ...]

NAME is one of keras.applications; by default the smallest network of each module is taken. Prints a line for each, and
ends with 1 if one cannot be trained. It takes about half an hour on two cores, most of which is tracing.
"""

import sys
import time
from pathlib import Path

from pipeline.models.names import APPLICATIONS

sys.path.insert(0, str(Path(__file__).parent / "support"))
import small_run

LEAST_SIDES = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
FORMAT = "{:<20} {:>12} {:>9} {:>9}  {}"


def one_step(name: str) -> tuple[int, float]:
    """The number of parameters, and the loss of the first step."""
    side = LEAST_SIDES.get(name, 32)
    batch = {"global_batch": 4, "grad_shards": 1}
    trainer = small_run.trainer(1, model=f"keras:{name}", image_size=str(side), optimizer="sgd", **batch)
    outcome = trainer.advance(0, 1)
    assert int(outcome.next_step) == 1, "the step diverged"
    return sum(v.shape.num_elements() for v in trainer.towers.replicas[0].parameters), float(outcome.loss)


def main(names: list[str]) -> int:
    """Prints the table; returns the exit code."""
    smallest = list({module: name for name, module in reversed(APPLICATIONS.items())}.values())
    failed = 0
    print(FORMAT.format("network", "parameters", "seconds", "loss", ""))
    for name in names or smallest:
        started = time.monotonic()
        try:
            parameters, loss = one_step(name)
            line = FORMAT.format(name, f"{parameters:,}", f"{time.monotonic() - started:.0f}", f"{loss:.3f}", "ok")
        except Exception as error:
            failed += 1
            line = FORMAT.format(name, "", "", "", f"FAILED: {type(error).__name__}: {' '.join(str(error).split())}")
        print(line, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
