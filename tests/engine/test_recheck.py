"""A rechecked step has the bits of any other, and shows a wrong bit of any tower."""

import numpy as np
import pytest
from lying import lying
from small_run import SHARDS, topology, trainer

from pipeline.engine import checks, forward, state
from pipeline.engine.recheck import Evidence
from pipeline.engine.trainer import Trainer

LAST = 4


def recheck(run: Trainer, step: int, turn: int) -> tuple[list[checks.Check], Evidence]:
    """Takes one step of a run on one worker, and rechecks it."""
    towers = topology(len(run.towers))
    todo = checks.checks(towers, SHARDS, turn)
    outcome, evidence = run.advance_rechecked(step, todo)
    assert (outcome.next_step, outcome.diverged) == (step + 1, False)
    return todo, evidence


def unequal(todo: list[checks.Check], evidence: Evidence) -> list[checks.Check]:
    return [c for c in todo if not np.array_equal(evidence.own[c.owner], evidence.again[c.checker])]


def accused(run: Trainer, step: int, todo: list[checks.Check], evidence: Evidence) -> set[int]:
    """The ranks of the towers that are wrong, by a third computation of each check that differs."""
    towers, found = topology(len(run.towers)), set()
    for check in unequal(todo, evidence):
        decisive = run.fingerprints(checks.third(towers, check), step, check.shard, evidence)
        found |= checks.wrong(towers, check, evidence.own[check.owner], evidence.again[check.checker], decisive)
    return found


@pytest.mark.parametrize(("towers", "fields"), [(1, {}), (2, {"augment": "mixup:0.5", "precision": "float16"})])
def test_rechecked_steps_have_the_bits_of_others_and_both_computations_agree(towers, fields):
    plain, rechecked = trainer(towers, **fields), trainer(towers, **fields)
    plain.advance(0, LAST)
    for step in range(LAST):
        todo, evidence = recheck(rechecked, step, turn=step)
        assert unequal(todo, evidence) == []
        check = todo[0]
        assert evidence.own[check.owner].all()  # no fingerprint is missing
        again = rechecked.fingerprints(0, step, check.shard, evidence)  # after the step, from the values before it
        assert np.array_equal(again, evidence.own[check.owner])
    of_both = (state.state_sha256(run.towers.check_equal(LAST), LAST) for run in (plain, rechecked))
    assert len(set(of_both)) == 1


@pytest.fixture
def liar(monkeypatch):
    """Makes one tower flip the lowest bit of one number of its gradients from now on: liar(tower)."""
    wrong: list[int] = []

    def is_wrong(device: str) -> bool:
        return any(device.endswith(f"CPU:{tower}") for tower in wrong)

    monkeypatch.setattr(forward, "computing", lying(forward.computing, is_wrong))
    return wrong.append


@pytest.mark.parametrize(("precision", "tower"), [("float32", 0), ("bfloat16", 2)])
def test_one_wrong_bit_is_found_at_the_first_recheck_and_the_right_tower_named(liar, precision, tower):
    liar(tower)
    run = trainer(4, precision=precision, model="models_for_tests:linear")
    for turn in range(2):  # as owner and as checker
        todo, evidence = recheck(run, turn, turn)
        [check] = unequal(todo, evidence)
        assert tower in (check.owner, check.checker)
        assert (evidence.own[check.owner] != evidence.again[check.checker]).sum() == 1  # one tensor of all
        assert accused(run, turn, todo, evidence) == {tower}


def test_between_two_towers_nobody_can_tell(liar):
    liar(1)
    run = trainer(2, model="models_for_tests:linear")
    todo, evidence = recheck(run, 0, 1)
    assert len(unequal(todo, evidence)) == 1
    assert accused(run, 0, todo, evidence) == set()
