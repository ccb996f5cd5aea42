"""Variables of another device are updated to the same bits as those of the tower."""

import pytest
from small_run import config

from pipeline.engine import state
from pipeline.engine.assembly import Assembly
from pipeline.engine.topology import Topology
from pipeline.engine.towers import Towers
from pipeline.engine.trainer import Trainer
from pipeline.text.flag_values import Device


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_an_update_on_the_tower_is_that_of_its_own_variables(monkeypatch, optimizer):
    towers = Topology((Device("CPU", 1),))

    def trained(variables: str) -> tuple[str, set[str]]:
        made = Assembly(config(variables=variables, optimizer=optimizer, weight_decay=0.1), towers)
        run = Trainer(made, made.initial())
        run.advance(0, 3)
        kinds = {o.device[-5:] for o in run.placement.operations if o.kind.startswith("ResourceApply")}
        return state.state_sha256(run.towers.check_equal(3), 3), kinds

    own = trained("first")
    assert own[1] == {"CPU:1"}
    beside = trained("cpu")
    assert beside == (own[0], {"CPU:0"})
    monkeypatch.setattr(Towers, "update_elsewhere", True)
    assert trained("cpu") == own
