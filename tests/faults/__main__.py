"""Faults drawn from a grammar, and what commands make of them: python -m tests.faults --minutes=M --seed=S

Each try copies a run that nothing happened to, does some harm to its directory, its data or what surrounds the command
(see of_runs, of_data, of_surroundings and of_endings), and runs a command. That must end with the correct result, or
with one line and a code of the contract; with no traceback, no other bits, and nothing lost. Where nothing on the disk
was harmed, the same command under good conditions must then go on to the undisturbed end. Every try depends on the seed
and its number alone, and is printed before it starts: --only=N does it again. Ends with 0 if all was so.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from tests.faults.tries import KINDS, attempt, table
from tests.faults.world import Undisturbed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5, help="at least (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all tries (default: %(default)s)")
    parser.add_argument("--only", type=int, help="the number of the one try to do")
    parser.add_argument("--kinds", default=",".join(KINDS), help="kinds of faults (default: %(default)s)")
    asked = parser.parse_args()
    kinds = {kind: KINDS[kind] for kind in asked.kinds.split(",")}
    outcomes, give_up = [], time.monotonic() + asked.minutes * 60
    with tempfile.TemporaryDirectory(prefix="faults-undisturbed-") as directory:
        known = Undisturbed(Path(directory))
        numbers = range(1, 1_000_000) if asked.only is None else [asked.only]
        for number in numbers:
            outcomes.append(attempt(known, asked.seed, number, kinds, lambda line: print(line, flush=True)))
            if time.monotonic() > give_up:
                break
    print(table(outcomes))
    raise SystemExit(any(outcome.wrong for outcome in outcomes))


if __name__ == "__main__":
    main()
