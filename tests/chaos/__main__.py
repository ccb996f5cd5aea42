"""A job of several workers, hit by one accident after the other: python -m tests.chaos --minutes=M --seed=S

Each worker has a supervisor and a host of its own (a network namespace, so root is needed), and all share a run
directory on a small disk. Each supervisor has a terminal, and what it writes goes through a pipe to a reader. Events
are drawn at random: see EVENTS. The job may shrink and grow. After each event it must come forward again by itself,
with as many workers as are there, from the newest checkpoint that was whole. In the end it must have the
parameters_sha256 of a run that nothing ever happened to. Prints a line for every event, and ends with 0 if all of this
was so.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence

from tests.chaos.disk import small_disk
from tests.chaos.events import COMING_AND_GOING, EVENTS, MAY_PASS, Event, flip_byte
from tests.chaos.job import FLAGS, INTERVAL, LOOP, SHAPES, Job, environment, starts, until
from tests.support.cluster.hosts import hosts, missing

SPARE_MIB, EVENT_MIB, EVENTS_A_MINUTE = 48, 1, 10  # what stays free on the disk, and what the record of events may need
FORMAT = "{:>3} {:<14} {:<9} {:>8} {:>10} {:>9}  {}"


def hit(job: Job, number: int, draws: random.Random, flips: int, among: Sequence[Event]) -> tuple[str, int, float]:
    """One event and what followed: its name, the restarts, the seconds lost. Raises SystemExit if too much was lost."""
    time.sleep(draws.uniform(0, 3))
    while not job.workers():
        job.turn()
        time.sleep(0.1)
    event = draws.choice(among)
    step, shape, now, size, had_spare = job.logged(), job.shape, time.time(), job.size(), job.has_spare()
    event(job, draws)
    may_pass = job.size() == size if event in COMING_AND_GOING else had_spare or event in MAY_PASS
    seconds = until(job, step, 0.0 if may_pass else now, job.size() if event in COMING_AND_GOING else 0)
    restarts = starts(job, now)
    lost = max((max(step - start, 0) for start in restarts), default=0)
    row = (number, event.__name__, f"{size}/{shape[0]} x {shape[1]}", step, len(restarts), lost, f"{seconds:.1f}")
    print(FORMAT.format(*row), flush=True)
    if lost > LOOP + INTERVAL * (2 + flips + (event is flip_byte)):  # of the newest two one may be half written
        raise SystemExit(f"{lost} steps were lost; a checkpoint is due every {INTERVAL}")
    return event.__name__, len(restarts), seconds


def disturbed(minutes: float, events: int, leg: int, draws: random.Random, among: Sequence[Event]) -> tuple[str, int]:
    """Hits a job until both the minutes and the number of events are reached; its parameters_sha256 and last step."""
    mib = SPARE_MIB + EVENT_MIB * max(events, round(EVENTS_A_MINUTE * minutes))
    with small_disk(mib) as disk, hosts(max(workers for workers, _ in SHAPES)) as where:
        job, began, happened, flips = Job(where, disk / "run", leg), time.monotonic(), [], 0
        job.start()
        try:
            until(job, 0)
            while len(happened) < events or time.monotonic() - began < minutes * 60:
                happened.append(hit(job, len(happened) + 1, draws, flips, among))
                flips = flips + 1 if happened[-1][0] == "flip_byte" else 0 if happened[-1][1] else flips
            while not job.ended() or set(job.ended()) != {0}:
                if job.ended():
                    job.turn()
                time.sleep(0.1)
            summary(happened)
            result = job.run.history().result
            assert result is not None
            return result["parameters_sha256"], result["step"]
        finally:
            job.kill()


def summary(happened: list[tuple[str, int, float]]) -> None:
    counts = Counter(name for name, _, _ in happened)
    for name in sorted(counts):
        seconds = [s for other, _, s in happened if other == name]
        mean = sum(seconds) / len(seconds)
        print(f"{counts[name]:>3} x {name:<14} {mean:6.1f} s lost on average, {max(seconds):.1f} at most")
    print(f"{len(happened)} events, {sum(restarts for _, restarts, _ in happened)} restarts")


def undisturbed(steps: int) -> str:
    """The parameters_sha256 of one worker on one tower that nothing happens to."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "pipeline.train", *FLAGS, f"--run_dir={directory}/run", f"--steps={steps}"]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment())
        return json.loads(ended.stdout.splitlines()[-1])["parameters_sha256"]


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that hosts and disk are cleared away
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0, help="at least (default: until the events are over)")
    parser.add_argument("--events", type=int, default=5, help="at least (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the events (default: %(default)s)")
    parser.add_argument("--leg", type=int, default=2000, help="steps of a job; finished, it goes on with as many more")
    parser.add_argument("--only", help="names of events, with commas (default: all)")
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else []
    among = [event for event in EVENTS if not names or event.__name__ in names]
    if reason := missing():
        raise SystemExit(reason)
    print(FORMAT.format("", "event", "job", "at step", "restarts", "lost", "seconds until the next checkpoint"))
    found, steps = disturbed(asked.minutes, asked.events, asked.leg, random.Random(asked.seed), among)
    wanted = undisturbed(steps)
    print(f"parameters_sha256 {found} at step {steps}; undisturbed {wanted}")
    raise SystemExit(found != wanted)


if __name__ == "__main__":
    main()
