import hashlib

import numpy as np
import tensorflow as tf
from small_run import assembly

from pipeline.engine import loss_scale, state
from pipeline.engine.state import Replica


def test_the_hash_is_of_names_dtypes_shapes_and_bytes_in_the_order_of_names():
    kernel, bias = np.array([[1, 2], [3, 4]], np.float32), np.float32(5)
    by_hand = b"a/bias float32 []\n" + bytes.fromhex("0000a040")
    by_hand += b"a/kernel float32 [2, 2]\n" + bytes.fromhex("0000803f000000400000404000008040")
    assert state.sha256({"a/kernel": kernel, "a/bias": bias}) == hashlib.sha256(by_hand).hexdigest()
    assert state.sha256({"a/bias": bias, "a/kernel": kernel.T.copy().T}) == hashlib.sha256(by_hand).hexdigest()


def test_the_hashes_are_of_the_parameters_and_of_everything():
    values = {
        "statistics/x": np.zeros(2, np.float32),
        "parameters/x": np.ones(2, np.float32),
        "slots/m/x": np.zeros(2, np.float32),
    }
    assert state.parameters_sha256(values) == state.sha256({"parameters/x": np.ones(2, np.float32)})
    assert state.state_sha256(values, 7) == state.sha256(values | {"global_step": np.int64(7)})
    assert state.state_sha256(values, 7) != state.state_sha256(values, 8)


def test_every_bit_name_type_and_shape_counts():
    value = np.arange(6, dtype=np.float32)
    others = [
        {"parameters/y": value},
        {"parameters/x": value.reshape(2, 3)},
        {"parameters/x": value.view(np.int32)},
        {"parameters/x": np.nextafter(value, np.float32(9))},
    ]
    hashes = {state.sha256(values) for values in [{"parameters/x": value}, *others]}
    assert len(hashes) == 5


def test_names_and_start_of_the_state():
    values = assembly(model="convolutional", optimizer="adam").initial()
    paths = [f"{layer}/{name}" for layer in ("conv1", "conv2", "fc1", "logits") for name in ("kernel", "bias")]
    groups = ["parameters", "slots/m", "slots/v"]
    assert list(values) == [f"{group}/{path}" for group in groups for path in paths]
    assert {values[f"slots/m/{path}"].any() for path in paths} == {False}
    shapes = [[values[f"{group}/{path}"].shape for path in paths] for group in groups]
    assert shapes[0] == shapes[1] == shapes[2]


def test_statistics_and_the_loss_scale_are_part_of_it_and_seeds_are_not():
    parts = assembly(precision="float16", optimizer="sgd")
    names = [name for name in parts.initial() if not name.startswith("parameters/")]
    statistics = [v.path for v in parts.model.non_trainable_variables if "moving_" in v.path]
    assert len(statistics) == 2 and len(parts.model.non_trainable_variables) == 4
    assert names[:2] == [f"statistics/{path}" for path in statistics]
    assert names[2:] == [loss_scale.SCALE, loss_scale.GOOD_STEPS, loss_scale.SKIPPED_STEPS]


def test_states_are_compared_bit_by_bit(monkeypatch):
    monkeypatch.setattr(state, "_BLOCK", 16)  # bytes: the last numbers are in another block than the first
    values = {"parameters/a": np.arange(7, dtype=np.float32), "slots/b": np.float32(np.nan)}
    assert state.are_equal(values, {name: value.copy() for name, value in values.items()})
    for name in values:
        other = {**values, name: np.array(values[name])}
        other[name].reshape(-1).view(np.int32)[-1] ^= 1
        assert not state.are_equal(values, other)
        assert state.fingerprint(values) != state.fingerprint(other)
    backwards = dict(reversed(values.items()))
    assert state.fingerprint(values) == state.fingerprint(backwards) and state.are_equal(values, backwards)


def test_a_replica_gives_back_what_it_holds_in_the_models_order():
    values = assembly(optimizer="adam").initial()
    values = {name: np.asarray(value + i, value.dtype) for i, (name, value) in enumerate(values.items())}
    with tf.device("CPU:3"):
        replica = Replica.create(values, "CPU:3", "tower_3")
    assert list(replica.read()) == list(values)
    assert state.sha256(replica.read()) == state.sha256(values)
    paths = [name.removeprefix("parameters/") for name in values if name.startswith("parameters/")]
    assert [v.name for v in replica.parameters] == [f"tower_3/parameters/{path}:0" for path in paths]
    for path in paths:
        assert replica.parameter(path).name == f"tower_3/parameters/{path}:0"
        assert [v.name for v in replica.slots(path, ["m", "v"])] == [f"tower_3/slots/{s}/{path}:0" for s in "mv"]
    assert {v.device[-5:] for v in replica.variables.values()} == {"CPU:3"}


def test_what_was_read_stays_as_it_was_and_is_the_variables_own_memory_until_then():
    values = {"parameters/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "slots/count": np.asarray(3, np.int64)}
    replica = state.Replica.create(values, "/CPU:0", "")
    read = state.arrays(replica.read())
    for name, variable in replica.variables.items():
        np.testing.assert_array_equal(read[name], values[name])
        assert not read[name].flags.writeable
        assert np.shares_memory(np.asarray(memoryview(variable.read_value())), read[name])
        variable.assign_add(tf.ones_like(variable))
        np.testing.assert_array_equal(read[name], values[name])
        np.testing.assert_array_equal(variable.numpy(), values[name] + 1)
