"""resnet18 and the wide networks: the sizes that are published, and stages that halve the image."""

import keras
import numpy as np
import pytest

from pipeline import models


@pytest.mark.parametrize(
    ("name", "parameters", "sizes"),
    [
        ("resnet18", 11_173_962, [32, 32, 16, 16, 8, 8, 4, 4]),
        ("wideresnet", 2_748_890, [32, 32, 16, 16, 8, 8]),
    ],
)
def test_the_published_number_of_parameters_for_ten_classes_of_colour(name, parameters, sizes):
    model = models.build(name, (32, 32, 3), 10, 1, "float32")
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == parameters
    added = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert [layer.output.shape[1] for layer in added] == sizes


@pytest.mark.parametrize("name", ["resnet18", "wideresnet"])
def test_a_block_of_zeros_is_its_shortcut(name):
    """With the last weights of each branch at 0, only shortcuts are left, and they look at the same pixels."""
    model = models.build(name, (8, 8, 3), 4, 1, "bfloat16")
    images = np.random.default_rng(0).random([2, 8, 8, 3]).astype(np.float32)
    whole = np.asarray(model(images))
    assert whole.dtype == np.float32 and whole.shape == (2, 4)
    block = model.get_layer("stage1_block2_add")
    before, after = block.input[0], block.output
    last = "stage1_block2_norm2" if name == "resnet18" else "stage1_block2_conv2"
    for weight in model.get_layer(last).weights[:2]:
        weight.assign(np.zeros(weight.shape, np.float32))
    shortcut, added = keras.Model(model.input, [before, after])(images)
    np.testing.assert_array_equal(np.asarray(shortcut, np.float32), np.asarray(added, np.float32))
