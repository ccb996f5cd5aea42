"""The pace of an open run's workers: kept on each, compared by the chief, told at every log and at the end."""

import json

from pipeline.engine.outcome import Outcome
from pipeline.monitoring.journal import markdown_table
from pipeline.monitoring.pace import Look, Pace, Stragglers
from pipeline.runs.run import Run


class Pacing:
    """Keeps this worker's pace. The chief reads the others' from their pulses, so no step waits for it."""

    def __init__(self, run: Run):
        self._run = run
        self._pace = Pace(0, 0.0, 0.0, 0.0, (0.0,) * run.topology.num_towers)
        self._trained = 0.0  # seconds of training at the last call
        self._stragglers = Stragglers(run.config.slow_share)
        run.job.phases.pace = lambda: self._pace.numbers()

    def count(self, steps: int, outcome: Outcome) -> None:
        """Adds a call of the trainer that has just been timed as training."""
        seconds, self._trained = (
            self._run.clock.seconds["training"] - self._trained,
            self._run.clock.seconds["training"],
        )
        waits = float(outcome.input_seconds), float(outcome.reduction_seconds)
        call = Pace(steps, max(seconds - sum(waits), 0.0), *waits, tuple(map(float, outcome.tower_seconds)))
        self._pace = self._pace.plus(call)

    def log(self, step: int) -> None:
        """Reports the pace since the last log, and warns of a worker that stays slow. The chief's part alone."""
        run = self._run
        if not run.is_chief or run.topology.total_towers == 1:
            return
        told = run.job.paces() if run.topology.workers.count > 1 else {0: self._pace.numbers()}
        look = self._look(told)
        if look is None:
            return
        run.journal.event("pace", step, **self._values(look))
        shown = {"speed/slowest_worker": look.slowest, "speed/slowest_excess": look.share}
        tower = run.topology.num_towers * look.slowest_tower[0] + look.slowest_tower[1]
        run.journal.points("train", step, {**shown, "speed/slowest_tower": tower})
        if (slow := self._stragglers.newly_slow()) is not None:
            run.journal.progress(
                f"step {step}: {run.topology.workers.name(slow)} is slow: a step takes it {look.share:.0%} longer than "
                f"the median worker, and all wait for it; --slow_share={run.config.slow_share:g} says when to warn"
            )

    def finish(self, step: int) -> dict[str, str]:
        """Reports the pace of the whole launch. All workers call it. Returns the row for the table at the end."""
        run = self._run
        told = dict(
            enumerate(json.loads(part) for part in run.cluster.gather(json.dumps(self._pace.numbers()).encode()))
        )
        paces = self._read(told)
        if run.topology.total_towers == 1 or len(paces) < len(told) or any(pace.steps < 1 for pace in paces.values()):
            return {}
        self._look(told)  # the steps since the last log
        look, lost = Look(paces), sum(self._stragglers.lost.values())
        run.journal.event("pace", step, whole=True, lost=round(lost, 3), **self._values(look))
        rows = self._rows(look, lost)
        run.journal.text("run/pace", markdown_table(rows), step)
        return rows

    def _rows(self, look: Look, lost: float) -> dict[str, str]:
        rows = {}
        if len(look.paces) > 1:
            own, median = look.paces[look.slowest].own, look.paces[look.slowest].own - look.excess
            name = self._run.topology.workers.name(look.slowest)
            pace = f"{1000 * own:.1f} ms a step (median {1000 * median:.1f})"
            rows["slowest worker"] = f"{name}, {pace}; slow workers cost {lost:.1f} s"
        worker, tower = look.slowest_tower
        if seconds := look.paces[worker].towers[tower] / look.paces[worker].steps:
            kind, index = self._run.topology.towers[tower]
            of_worker = f" of worker {worker}" if len(look.paces) > 1 else ""
            rows["slowest tower"] = f"{kind.lower()}:{index}{of_worker}, {1000 * seconds:.1f} ms a step"
        return rows

    def _look(self, told: dict) -> Look | None:
        paces = self._read(told)
        return self._stragglers.look(paces) if len(paces) == self._run.topology.workers.count else None

    def _read(self, told: dict) -> dict[int, Pace]:
        read = {worker: Pace.read(numbers, self._run.topology.num_towers) for worker, numbers in told.items()}
        return {worker: pace for worker, pace in read.items() if pace is not None}

    def _values(self, look: Look) -> dict:
        """The fields of a line: seconds a step by worker, and by worker and tower."""
        paces = [look.paces[worker] for worker in sorted(look.paces)]
        values: dict = {
            name: [round(getattr(pace, name) / pace.steps, 6) for pace in paces]
            for name in ("compute", "input", "wait")
        }
        values["by_tower"] = [[round(seconds / pace.steps, 6) for seconds in pace.towers] for pace in paces]
        return values | {"slowest": look.slowest, "excess": round(look.excess, 6)}
