import re

import numpy as np
import pytest
from small_run import SHARDS, assembly, train, trainer

from pipeline.engine import placement, state
from pipeline.errors import UsageError

LAST = 6


@pytest.fixture(scope="module")
def straight() -> dict[int, str]:
    """The hash of the state at every step of one run that takes them one by one."""
    run, hashes = trainer(1), {}
    for step in range(LAST + 1):
        hashes[step] = state.state_sha256(run.towers.check_equal(step), step)
        run.advance(step, step + 1)
    return hashes


@pytest.mark.parametrize("stop", [1, 2, 5])
def test_stopped_at_any_step_and_resumed_on_other_towers_equals_straight(straight, stop):
    towers, others = (1, 2) if stop % 2 else (4, 1)
    stopped = train(0, stop, towers)
    assert state.state_sha256(stopped, stop) == straight[stop]
    resumed = train(stop, LAST, others, stopped)
    assert state.state_sha256(resumed, LAST) == straight[LAST]


@pytest.mark.parametrize("at_once", [1, 2])
def test_shards_that_wait_for_each_other_have_the_same_bits(straight, at_once):
    values = train(0, LAST, 2, shards_at_once=at_once)
    assert state.state_sha256(values, LAST) == straight[LAST]


def step_graph(**options):
    """That of a trainer of two towers."""
    one = trainer(2, **options)
    one.advance(0, 1)
    return one.graph()


def shard_of(name: str) -> set[int]:
    return {int(number) for number in re.findall(r"tower_\d/shard_(\d)/", name)}


def test_a_shard_waits_for_the_one_that_makes_room_for_it():
    """In the graphs that run: TensorFlow inlines a shard's function, and what waits for its call then waits no more."""
    one = trainer(1, shards_at_once=2)
    one.placement = placement.Placement((), ())  # so that it collects no graphs itself
    with placement.collect() as collected:
        one.advance(0, 1)
    waits: dict[int, set[int]] = {shard: set() for shard in range(SHARDS)}
    for graph in collected.graphs:
        inputs = {n.name: {i.removeprefix("^").partition(":")[0] for i in n.input} for n in graph.node}
        inputs |= {n.name: set() for n in graph.node if n.op == "NextIteration"}  # no way from one step to the next
        for shard in waits:
            before, left = set(), {name for name in inputs if shard_of(name) == {shard}}
            while left:
                before |= left
                left = {i for name in left for i in inputs.get(name, ())} - before
            waits[shard] |= set().union(*map(shard_of, before)) - {shard}
    assert waits == {shard: {shard - 2} if shard >= 2 else set() for shard in range(SHARDS)}


RECIPE = {
    "augment": "crop:2,alternating_flip,randaugment:9:1,brightness:0.4,contrast:0.4,erasing:0.25,mixup:0.2,cutmix:1",
    "augment_steps": 4,
    "normalize": "mnist",
    "model": "models_for_tests:linear",
}


def test_the_whole_of_augmentation_has_the_same_bits_on_any_number_of_towers():
    resumed = train(3, LAST, 2, train(0, 3, 4, **RECIPE), **RECIPE)
    assert state.state_sha256(resumed, LAST) == state.state_sha256(train(0, LAST, 1, **RECIPE), LAST)


@pytest.mark.parametrize("optimizer", ["lars", "lion", "muon"])
def test_an_optimizer_resumes_to_the_bit_on_other_towers(optimizer):
    fields = {"optimizer": optimizer, "weight_decay": 0.1, "model": "models_for_tests:batch_norm"}
    resumed = train(3, LAST, 2, train(0, 3, 1, **fields), **fields)
    assert state.state_sha256(resumed, LAST) == state.state_sha256(train(0, LAST, 4, **fields), LAST)


@pytest.mark.parametrize("optimizer", ["momentum", "sgd"])
def test_frozen_parameters_keep_their_bits_and_the_others_have_their_gradients(optimizer):
    """From one state a step with and without --freeze moves what is trained to the same bits."""
    fields = {"optimizer": optimizer, "model": "models_for_tests:normalized"}
    before = trainer(1, **fields).towers.check_equal(0)
    free = train(0, 1, **fields)
    frozen = train(0, 1, 2, freeze="norm/(gamma|beta)", **fields)
    assert {name for name in before if name.startswith("slots/")} - set(frozen) == (
        {"slots/momentum/norm/gamma", "slots/momentum/norm/beta"} if optimizer == "momentum" else set()
    )
    for name in frozen:
        held = name in ("parameters/norm/gamma", "parameters/norm/beta")
        expected = np.asarray(before[name]) if held else free[name]
        np.testing.assert_array_equal(frozen[name], expected)
        assert (free[name] != np.asarray(before[name])).any()
    assert set(trainer(1, freeze="norm/.*", **fields).gradient(0).by_parameter) == {"logits/kernel", "logits/bias"}


@pytest.mark.parametrize(
    ("pattern", "words"), [("logits", "freeze=logits matches no parameter of the model"), (".*", "matches every")]
)
def test_a_pattern_that_freezes_nothing_or_everything_is_refused(pattern, words):
    with pytest.raises(UsageError, match=words):
        trainer(1, freeze=pattern, model="models_for_tests:linear")


def test_xla_has_the_same_bits_on_other_numbers_of_towers():
    one, four = (state.state_sha256(train(0, 3, towers, jit=True), 3) for towers in (1, 4))
    assert one == four


def test_a_trainer_goes_to_any_step_without_those_before(straight):
    """Steps 2 and 3, from the state at step 2, in a trainer that computed step 5 before."""
    run = trainer(1)
    run.advance(5, 6)
    for name, value in train(0, 2, 1).items():
        run.towers.replicas[0].variables[name].assign(value)
    run.advance(2, 4)
    assert state.state_sha256(run.towers.check_equal(4), 4) == straight[4]


def test_the_gradient_leaves_no_trace(straight):
    run = trainer(2)
    run.advance(0, 3)
    run.gradient(50)
    run.advance(3, LAST)
    assert state.state_sha256(run.towers.check_equal(LAST), LAST) == straight[LAST]


def test_steps_after_the_augmented_ones_see_images_as_they_are():
    """Equal to a run with augmentation, and from there to one without; stopped, resumed and on other towers too."""
    start, augmented = assembly(1).initial(), train(0, 3, 1, augment="shift:2")
    expected = state.state_sha256(train(3, LAST, 1, augmented), LAST)
    ending = {"augment": "shift:2", "augment_steps": 3}
    one, two = trainer(1, **ending), trainer(2, **ending)
    for first, then, stop in ((one, two, 2), (two, one, 4)):
        first.towers.load(start)
        first.advance(0, stop)
        then.towers.load(state.arrays(first.towers.check_equal(stop)))
        then.advance(stop, LAST)
        assert state.state_sha256(then.towers.check_equal(LAST), LAST) == expected
    assert state.state_sha256(train(3, LAST, 1, augmented, augment="shift:2"), LAST) != expected


def test_the_graph_shows_the_towers_scopes_and_their_devices():
    nodes = step_graph().node
    for tower in range(2):
        devices = {n.device[-5:] for n in nodes if n.name.startswith(f"tower_{tower}/shard_") and n.op == "MatMul"}
        assert devices == {f"CPU:{tower}"}
    shards = {part for n in nodes for part in n.name.split("/") if part.startswith("shard_")}
    assert {f"shard_{i}" for i in range(SHARDS)} <= shards
