"""The registry, the classic models, and what a user's own model may and may not be."""

import random
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline import models
from pipeline.errors import UsageError
from pipeline.models import variables

MNIST = (28, 28, 1)

# Layer -> shape of its kernel, of every classic model on MNIST.
KERNELS = {
    "dense": {"logits": (784, 10)},
    "softmax": {"logits": (784, 10)},
    "hidden": {"fc1": (784, 1024), "logits": (1024, 10)},
    "fully_connected": {"fc1": (784, 128), "fc2": (128, 32), "logits": (32, 10)},
    "convolutional": {"conv1": (5, 5, 1, 32), "conv2": (5, 5, 32, 64), "fc1": (3136, 1024), "logits": (1024, 10)},
    "cnn": {"conv1": (5, 5, 1, 32), "conv2": (5, 5, 32, 64), "fc1": (3136, 1024), "logits": (1024, 10)},
}


# No upgrade of Keras or TensorFlow may move the initial values unnoticed.
GOLDEN = [0.0040886584, 0.0812604502, -0.0365260057]


def build(name, image_shape=MNIST, num_classes=10, seed=1, precision="float32"):
    return models.build(name, image_shape, num_classes, seed, precision)


def initial_values(model):
    return {v.path: v.numpy() for v in model.trainable_variables}


def by_layer(name):
    return {layer.name: layer for layer in build(name).layers}


def assert_same(left, right):
    assert list(left) == list(right)
    for path in left:
        np.testing.assert_array_equal(left[path], right[path], err_msg=path)


def test_the_registry_imports_no_tensorflow():
    code = "import sys; from pipeline import models; models.check('cnn'); models.check('a.b:c'); "
    code += "print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("name", [*KERNELS, "cnn_bn", "cnn_bn_large", "resnet20"])
def test_rectangular_images(name):
    logits = build(name, (20, 12, 3))(np.zeros([2, 20, 12, 3], np.float32))
    assert logits.shape == (2, 10)


@pytest.mark.parametrize("name", ["convolution", "a.b:", ":f", "a b:f", "a.b:f.g", "1a:f", ""])
def test_check_refuses(name):
    with pytest.raises(UsageError, match=rf"^model={name} is"):
        models.check(name)


def test_check_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean convolutional"):
        models.check("convolution")


@pytest.mark.parametrize("name", KERNELS)
def test_architecture(name):
    expected = {}
    for layer, shape in KERNELS[name].items():
        expected |= {f"{layer}/kernel": shape, f"{layer}/bias": shape[-1:]}
    assert {path: value.shape for path, value in initial_values(build(name)).items()} == expected


def test_registered_models_give_logits_of_other_shapes_and_class_counts():
    for name in models.REGISTRY:
        model = build(name, image_shape=(33, 35, 3), num_classes=4)
        assert model(np.ones([2, 33, 35, 3], np.float32)).shape == (2, 4)


def test_layers_of_the_convolutional_networks():
    for name, rate in (("convolutional", 0.5), ("cnn", 0.4)):
        layers = by_layer(name)
        assert list(layers) == ["images", "conv1", "conv2", "flatten", "fc1", "dropout", "logits"]
        assert layers["dropout"].rate == rate
        assert [layers[layer].activation.__name__ for layer in ("fc1", "logits")] == ["relu", "linear"]
        assert [layers[layer].output.shape[1:] for layer in ("conv1", "conv2")] == [(14, 14, 32), (7, 7, 64)]


def test_hidden_is_a_rectified_layer_and_a_linear_one():
    model = build("hidden")
    values = initial_values(model)
    images = np.random.default_rng(0).random([3, *MNIST], np.float32)
    features = np.maximum(images.reshape(3, -1) @ values["fc1/kernel"] + values["fc1/bias"], 0)
    logits = features @ values["logits/kernel"] + values["logits/bias"]
    np.testing.assert_allclose(model(images), logits, rtol=1e-4, atol=1e-4)


def test_initial_values_of_the_truncated_normal_models():
    for name in ("dense", "hidden", "convolutional"):
        for path, value in initial_values(build(name)).items():
            if path.endswith("bias"):
                assert (value == np.float32(0.1)).all()
            else:
                assert_truncated_normal(value, 0.1)


def test_initial_values_of_the_others():
    assert all((value == 0).all() for value in initial_values(build("softmax")).values())
    for path, value in initial_values(build("fully_connected")).items():
        if path.endswith("kernel"):
            assert_truncated_normal(value, value.shape[0] ** -0.5)
        else:
            assert (value == 0).all()
    for path, value in initial_values(build("cnn")).items():
        if path.endswith("kernel"):
            receptive = np.prod(value.shape[:-2], dtype=int)
            limit = np.sqrt(6 / (receptive * (value.shape[-2] + value.shape[-1])))
            assert 0.95 * limit < np.abs(value).max() <= limit
        else:
            assert (value == 0).all()


def assert_truncated_normal(value, stddev):
    """Drawn within two standard deviations, where a normal's own spread shrinks to 0.8796 of them."""
    assert np.abs(value).max() <= 2 * stddev
    assert abs(value.std() / (0.8796 * stddev) - 1) < 5 / np.sqrt(value.size)


def test_initial_values_are_a_function_of_the_seed():
    random.seed(1)
    first = initial_values(build("convolutional", seed=7))
    random.seed(2)
    keras.layers.Dense(3)
    assert_same(first, initial_values(build("convolutional", seed=7)))
    other = initial_values(build("convolutional", seed=8))
    assert not (first["conv1/kernel"] == other["conv1/kernel"]).any()
    assert not (first["fc1/kernel"][:10, :10] == first["logits/kernel"][:10]).any()


def test_golden_initial_values():
    kernel = initial_values(build("dense", seed=1))["logits/kernel"]
    np.testing.assert_allclose(kernel[0, :3], GOLDEN, rtol=1e-5)


def test_a_second_build_gives_the_same_names():
    for name in ("models_for_tests:batch_norm", "models_for_tests:subclassed"):
        first, second = build(name), build(name)
        assert [v.path for v in first.variables] == [v.path for v in second.variables]
        assert_same(initial_values(first), initial_values(second))


def test_build_leaves_the_generators_and_the_policy_as_they_were():
    random.seed(3), np.random.seed(3)
    expected = random.random(), np.random.rand()
    random.seed(3), np.random.seed(3)
    build("dense", precision="bfloat16")
    assert (random.random(), np.random.rand()) == expected
    with pytest.raises(UsageError):
        build("models_for_tests:raises", precision="bfloat16")
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_precision_is_of_the_compute_not_of_the_variables(precision):
    model = build("convolutional", precision=precision)
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    assert model.get_layer("conv1").compute_dtype == model.get_layer("fc1").compute_dtype == precision
    logits = model(np.ones([1, *MNIST], np.float32))
    assert logits.dtype == tf.float32
    assert_same(initial_values(model), initial_values(build("convolutional")))


def test_variables_lie_on_the_cpu():
    assert all("CPU:0" in v.value.device for v in build("dense").variables)


def test_a_users_model_has_statistics_and_seeds():
    model = build("models_for_tests:batch_norm")
    statistics = [v.path.split("/")[-1] for v in variables.statistics_of(model)]
    assert statistics == ["moving_mean", "moving_variance"]
    assert len(variables.seeds_of(model)) == 2


def test_a_users_module_is_found_in_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "mine.py").write_text("from pipeline.models.classic import dense as linear\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    assert list(initial_values(build("nets.mine:linear"))) == ["logits/kernel", "logits/bias"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module:f", "module no_such_module cannot be imported .*ModuleNotFoundError.*PYTHONPATH"),
        ("models_for_tests:no_such_function", r"module models_for_tests has no function no_such_function; define `def"),
        ("models_for_tests:not_a_function", "has no function not_a_function"),
        ("models_for_tests:raises", r"raised ZeroDivisionError: division by zero at .*models_for_tests.py:\d+;"),
        ("models_for_tests:no_model", "returned a Dense; return a keras.Model"),
        ("models_for_tests:no_logits", r"gives outputs \(None, 784\); give logits of shape \(n, 10\)"),
        ("models_for_tests:two_outputs", r"gives outputs \[\(None, 10\), \(None, 784\)\]; give logits"),
        ("models_for_tests:twins", "two variables named .*twin/kernel; name its layers apart"),
    ],
)
def test_what_a_users_model_may_not_be(name, words):
    with pytest.raises(UsageError, match=f"^model={name}.*{words}"):
        build(name)


def test_a_model_without_parameters_is_refused():
    with pytest.raises(UsageError, match="no trainable parameters"):
        build("models_for_tests:no_parameters", image_shape=(8, 8, 10))
