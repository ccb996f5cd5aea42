import time

import numpy as np
import pytest
import tensorflow as tf
from small_run import assembly, topology, trainer

from pipeline.engine import state
from pipeline.engine.forward import ShardSums
from pipeline.engine.topology import Topology
from pipeline.engine.towers import Placed, Towers
from pipeline.errors import DivergedError, ExitCode

VALUES = {"parameters/w": np.array([1, 2], np.float32), "statistics/s": np.array([3], np.float32)}


def towers(count: int, variables: str = "replicated") -> Towers:
    return Towers(topology(count), variables, VALUES)


@pytest.mark.parametrize("variables, homes", [("replicated", "0123"), ("cpu", "0"), ("first", "0"), ("auto", "0")])
def test_every_tower_reads_the_values_on_its_own_device(variables, homes):
    four = towers(4, variables)
    assert [replica.device[-1] for replica in four.replicas] == list(homes)
    for tower in range(4):
        [parameter], [statistic] = four.read(tower)
        assert parameter.device[-5:] == statistic.device[-5:] == f"CPU:{tower}"
        assert (parameter.numpy().tolist(), statistic.numpy().tolist()) == ([1, 2], [3])


@pytest.mark.parametrize("variables, home", [("first", "CPU:2"), ("cpu", "CPU:0")])
def test_one_copy_lies_on_the_first_tower_or_on_the_host(variables, home):
    [replica] = Towers(Topology((("CPU", 2), ("CPU", 1))), variables, VALUES).replicas
    assert {variable.device[-5:] for variable in replica.variables.values()} == {home}


def test_the_time_for_which_towers_wait_for_their_input_is_measured():
    def sleep(number, seconds):
        time.sleep(float(seconds))
        return number

    def seconds_waited(seconds: float) -> list[float]:
        """For each of some elements, of which only the second tower's take this long to make."""
        numbers = tf.data.Dataset.range(20)
        slow = numbers.map(lambda n: tf.numpy_function(sleep, [n, seconds], tf.int64, stateful=False))
        both = towers(2)
        iterators = both.iterators([numbers, slow])
        wait = tf.function(lambda: both.next_of_all(iterators)[1], autograph=False)
        return [float(wait()) for _ in range(10)][1:]  # the first call traces

    assert np.median(seconds_waited(0.05)) == pytest.approx(0.05, abs=0.02)
    assert np.median(seconds_waited(0.0)) < 0.01


def test_sums_are_added_on_the_left_ones_tower():
    def placed(tower: int) -> Placed:
        numbers = tf.constant([1.0, 10.0 * tower])
        return Placed(tower, ShardSums(tf.constant(0.5), tf.constant(tower), [numbers], [numbers]))

    added = towers(4).add(placed(2), placed(3))
    assert added.tower == 2
    assert {t.device[-5:] for t in tf.nest.flatten(added.sums)} == {"CPU:2"}
    assert (added.sums.loss, added.sums.correct) == (1.0, 5)
    assert added.sums.gradients[0].numpy().tolist() == added.sums.statistics[0].numpy().tolist() == [2.0, 50.0]


def test_iterators_give_their_datasets_elements_in_order():
    two = towers(2)
    iterators = two.iterators([tf.data.Dataset.range(0, 5), tf.data.Dataset.range(5, 10)])
    read = [[int(two.next_of(tower, iterators[tower])) for _ in range(5)] for tower in range(2)]
    assert read == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_equal_replicas_give_the_state():
    found = towers(4).check_equal(7)
    assert list(found) == list(VALUES) and state.sha256(found) == state.sha256(VALUES)


@pytest.mark.parametrize("name", VALUES)
def test_a_replica_that_differs_in_one_bit_is_named(name):
    four = towers(4)
    variable = four.replicas[2].variables[name]
    variable.assign(np.nextafter(VALUES[name], np.float32(9)))
    with pytest.raises(DivergedError, match=r"at step 7 the replicas on \S*CPU:2 are not equal .* \S*CPU:0;") as raised:
        four.check_equal(7)
    assert raised.value.code == ExitCode.DIVERGED


def test_a_tampered_slot_is_found_after_training_too():
    run = trainer(2, optimizer="adam")
    run.advance(0, 2)
    slot = next(v for name, v in run.towers.replicas[1].variables.items() if name.startswith("slots/v/"))
    slot.assign_add(tf.fill(slot.shape, 1e-3))
    with pytest.raises(DivergedError, match="CPU:1 are not equal"):
        run.towers.check_equal(2)


def test_operations_lie_on_the_towers_and_their_names_say_whose_they_are():
    run, parts = trainer(2), assembly(2)
    run.advance(0, 1)
    devices = {o.tower: o.device for o in run.placement.operations if o.tower is not None}
    assert devices == dict(enumerate(parts.topology.devices))
    assert {v.tower: v.device for v in run.placement.variables} == dict(enumerate(parts.topology.devices))
