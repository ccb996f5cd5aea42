"""The whitened network: what its layers do to pictures, its sizes, and the bits of its recipe."""

import keras
import numpy as np
import picture_folders
import pytest
import small_run

from pipeline import config as configuration
from pipeline import models
from pipeline.engine import state
from pipeline.errors import UsageError
from pipeline.models.whitened import Dirac, Whitening
from tests.docs import pages

KERNELS = {
    "whitened": [(3, 3, 24, 64), (3, 3, 64, 64), (3, 3, 64, 256), *[(3, 3, 256, 256)] * 3, (256, 10)],
    "whitened_wide": [
        *((3, 3, 24, 128), (3, 3, 128, 128), (3, 3, 128, 128)),
        *((3, 3, 128, 384), (3, 3, 384, 384), (3, 3, 384, 384)),
        *((3, 3, 384, 512), (3, 3, 512, 512), (3, 3, 512, 512), (512, 10)),
    ],
}
PARAMETERS = {"whitened": 1_972_480, "whitened_wide": 9_918_464}
TOWERS = (1, 2)
STEPS = 2


def build(image_shape=(32, 32, 3), name="whitened"):
    return models.build(name, image_shape, 10, 1, "float32")


def pictures(count, side, seed=0):
    photos = [picture_folders.photo(side, seed + i) for i in range(count)]
    return np.stack([np.asarray(photo) for photo in photos]).astype(np.float32) / 255


def correlations(values):
    """[..., channels] -> [channels, channels] without the diagonal."""
    found = np.corrcoef(values.reshape(-1, values.shape[-1]).T)
    return found - np.eye(len(found))


@pytest.mark.parametrize("name", KERNELS)
def test_sizes_and_parameters(name):
    model = build(name=name)
    kernels = [v.shape for v in model.trainable_variables if v.path.endswith("kernel")]
    assert kernels == KERNELS[name]
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == PARAMETERS[name]
    assert [model.get_layer(f"stage{i}_pool").output.shape[1] for i in (1, 2, 3)] == [15, 7, 3]
    added = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert added == ([f"stage{i}_add" for i in (1, 2, 3)] if name == "whitened_wide" else [])


def test_neighbouring_pixels_and_colours_are_correlated_and_what_comes_of_the_whitening_is_not():
    photos = pictures(8, 48)
    windows = np.concatenate([photos[:, :-1, :-1], photos[:, :-1, 1:], photos[:, 1:, :-1], photos[:, 1:, 1:]], axis=-1)
    assert np.abs(correlations(windows)).max() > 0.9
    components = np.asarray(Whitening()(photos))
    assert components.shape == (8, 47, 47, 24)
    np.testing.assert_array_equal(components[..., 12:], -components[..., :12])
    assert np.abs(correlations(components[..., :12])).max() < 0.2


def test_whitened_windows_of_photographs_have_unit_variance():
    """Of windows that have the deviations of CIFAR-10's pictures along the components."""
    deviations = [0.790, 0.223, 0.103, 0.146, 0.0156, 0.0097, 0.158, 0.0188, 0.0111, 0.0583, 0.0036, 0.0027]
    hadamard = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    opponent = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    draws = np.random.default_rng(0).standard_normal([20_000, 12]) * deviations
    windows = (0.5 + draws @ np.kron(hadamard, opponent)).reshape(-1, 2, 2, 3).astype(np.float32)
    variances = np.asarray(Whitening()(windows)).reshape(-1, 24)[:, :12].var(axis=0)
    noise = 0.0056**2
    np.testing.assert_allclose(variances, [d**2 / (d**2 + noise) for d in deviations], rtol=0.05)


def test_a_convolution_begins_by_passing_its_channels_on():
    images = np.random.default_rng(0).random([1, 5, 5, 4], np.float32)
    for filters in (3, 4, 6):
        convolution = keras.layers.Conv2D(filters, 3, padding="same", kernel_initializer=Dirac())
        passed = min(filters, 4)
        np.testing.assert_array_equal(np.asarray(convolution(images))[..., :passed], images[..., :passed])
    assert np.asarray(convolution.kernel)[..., passed:].std() > 0.05


@pytest.mark.parametrize("shape", [(15, 32, 3), (32, 32, 4)])
def test_images_it_cannot_take_are_refused(shape):
    with pytest.raises(UsageError, match="^model=whitened: images of {} x {} x {}; it takes".format(*shape)):
        build(shape)


def test_the_recipe_has_the_same_bits_on_one_tower_and_on_two(tmp_path):
    flags = pages.given((pages.ROOT / "configs/cifar10_fast.flags").read_text().splitlines())
    fields = {name: configuration.parse_value(name, value) for name, value in flags.items()}
    for split, count in (("train", 6), ("test", 1)):
        for label, name in enumerate(("cat", "dog")):
            for i in range(count):
                path = tmp_path / split / name / f"{i}.jpg"
                picture_folders.write(path, np.asarray(picture_folders.photo(16, 100 * label + i)))
    few = {"source": f"folder:{tmp_path}", "validation_fraction": 0.2, "global_batch": 4, "grad_shards": 2}
    few["decay_steps"] = fields["steps"]
    ended = [small_run.train(0, STEPS, towers, **(fields | few)) for towers in TOWERS]
    assert len({state.parameters_sha256(values) for values in ended}) == 1
    assert any(name.startswith("slow/") for name in ended[0])
