"""Places of operations that are no tower."""

import keras
import numpy as np
import tensorflow as tf
from small_run import topology

from pipeline.engine import forward, places
from pipeline.engine.towers import on_tower

IMAGES = np.ones([2, 4, 4, 1], np.uint8)


def dropped(model: keras.Model) -> tuple[np.ndarray, dict[str, str]]:
    """What a random layer makes of ones on the second tower, and the device of each kind of operation for its seed."""

    @tf.function(autograph=False)
    def of(seed: tf.Tensor) -> tf.Tensor:
        with on_tower(topology(2), 1):
            return forward.call(model, [], [], [seed], tf.constant(IMAGES), training=True)[0]

    seed = tf.constant([3, 2**31 - 1], tf.int64)
    operations = of.get_concrete_function(seed).graph.get_operations()
    devices = {op.type: op.device[-5:] for op in operations if op.type in ("FloorMod", "StatelessRandomUniformV2")}
    return of(seed).numpy(), devices


def test_seeds_made_on_the_host_are_those_of_the_tower():
    images = keras.Input([4, 4, 1])
    model = keras.Model(images, keras.layers.Dropout(0.5)(images))
    numbers, devices = dropped(model)
    assert devices == {"FloorMod": "CPU:1", "StatelessRandomUniformV2": "CPU:1"}
    places.keep_seeds_on_host(model)
    numbers_by_host, devices = dropped(model)
    assert devices == {"FloorMod": "CPU:0", "StatelessRandomUniformV2": "CPU:1"}
    np.testing.assert_array_equal(numbers_by_host, numbers)
    assert 0 < np.count_nonzero(numbers) < numbers.size


def test_what_is_traced_unplaced_lies_where_it_is_called():
    double = tf.function(lambda value: value + value, autograph=False)

    @tf.function(autograph=False)
    def on_second(value: tf.Tensor) -> tf.Tensor:
        with on_tower(topology(2), 1):
            with places.unplaced():
                concrete = double.get_concrete_function(tf.TensorSpec([], tf.float32))
            return concrete(value)

    graph = on_second.get_concrete_function(tf.constant(1.0)).graph
    [call] = [op for op in graph.get_operations() if "PartitionedCall" in op.type]
    assert call.device.endswith("CPU:1")
    assert on_second(tf.constant(1.0)).device.endswith("CPU:0"), "what has no place of its own"
    assert {op.device for op in double.get_concrete_function(tf.TensorSpec([], tf.float32)).graph.get_operations()} == {
        ""
    }
