"""A try: faults are done to a copy of a run, a command is run on it, and what comes of it is judged."""

import dataclasses
import random
from collections import Counter

from tests.faults import judge, of_data, of_endings, of_runs, of_surroundings, world
from tests.faults.world import COMMANDS, MENDABLE, Ended, Try, Undisturbed

KINDS = {
    "run": of_runs.FAULTS,
    "data": of_data.FAULTS,
    "surroundings": of_surroundings.FAULTS,
    "ending": of_endings.FAULTS,
}
WEIGHTS = {"run": 8, "data": 4, "surroundings": 4, "ending": 3}
MOST_FAULTS = (1, 1, 1, 2, 2, 3)


@dataclasses.dataclass
class Outcome:
    """What came of one try."""

    faults: list[tuple[str, str]]  # kind and name of each
    code: int
    wrong: list[str]


def attempt(known: Undisturbed, seed: int, number: int, kinds: dict[str, list], show=print) -> Outcome:
    """One try, a function of the seed and the number."""
    draws = random.Random(f"{seed} {number}")
    source = draws.choice(("fake", "folder"))
    command = draws.choices(COMMANDS, (6, 3, 2, 2, 2, 1))[0]
    with world.a_try(known, source, command, draws) as tried:
        applied = harm(tried, draws, kinds)
        show(f"{seed}:{number} {command} on {source}: {'; '.join(tried.told)}")
        before = world.snapshot(tried.root)
        ended = world.execute(tried)
        world.pause()
        wrong = judge.faults(tried, ended, before, world.snapshot(tried.root), known)
        if not wrong and command == "train" and tried.mendable:
            wrong = again(tried, known, before)
        if wrong:
            show(f"    ended with {ended.code}\n    {ended.out[-600:]}\n    {ended.err[-3000:]}")
        for line in wrong:
            show(f"    WRONG: {line}")
        return Outcome(applied, ended.code, wrong)


def harm(tried: Try, draws: random.Random, kinds: dict[str, list]) -> list[tuple[str, str]]:
    """Does one to three faults to a try; their kinds and names."""
    applied: list[tuple[str, str]] = []
    wanted = draws.choice(MOST_FAULTS)
    while len(applied) < wanted:
        kind = draws.choices(list(kinds), [WEIGHTS[kind] for kind in kinds])[0]
        if kind == "data" and tried.source == "fake" and tried.command != "predict":
            continue
        if kind == "ending" and set(tried.kinds) - set(MENDABLE):
            continue
        fault = draws.choice(kinds[kind])
        if told := fault(tried):
            tried.kinds.append(kind)
            tried.told.append(told)
            applied.append((kind, fault.__name__))
    return applied


def again(tried: Try, known: Undisturbed, before: dict[bytes, str]) -> list[str]:
    """What is wrong with the same command under good conditions."""
    of_endings.mend(tried)
    healed = dataclasses.replace(tried, environment={}, conditions={}, streams={}, sent=None, fresh=False)
    for path in (healed.run, *healed.run.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o700)
    ended: Ended = world.execute(healed)
    wrong = judge.faults(healed, ended, before, {**before, **world.snapshot(tried.root)}, known)
    if ended.code:
        wrong.append(f"the next start ended with {ended.code}: {ended.err}")
    return [f"afterwards: {line}" for line in wrong]


def table(outcomes: list[Outcome]) -> str:
    """A row for each fault: how often it was done, by which exit codes it ended, and how often that was wrong."""
    rows: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        for fault in outcome.faults:
            rows.setdefault(fault, []).append(outcome)
    codes = sorted({outcome.code for outcome in outcomes})
    lines = [f"{'kind':<13}{'fault':<32}{'times':>6}" + "".join(f"{code:>6}" for code in codes) + f"{'wrong':>7}"]
    for kind, name in sorted(rows):
        found = rows[kind, name]
        counts = Counter(outcome.code for outcome in found)
        told = "".join(f"{counts[code] or '':>6}" for code in codes)
        lines.append(f"{kind:<13}{name:<32}{len(found):>6}{told}{sum(bool(o.wrong) for o in found) or '':>7}")
    total, wrong = sum(len(o.faults) for o in outcomes), sum(bool(o.wrong) for o in outcomes)
    return "\n".join([*lines, f"{total} faults in {len(outcomes)} tries, {wrong} of which ended wrongly"])
