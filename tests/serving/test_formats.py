"""What is exported, as this process sees it; tests/processes/test_export.py loads it without this project."""

import dataclasses
import fcntl
import functools
import json
import os
import zipfile

import keras
import numpy as np
import pytest
import small_run
import tensorflow as tf

from pipeline.engine import state
from pipeline.errors import UsageError
from pipeline.runs.checkpoints import Manifest, Restored
from pipeline.serving import exporting, formats
from pipeline.serving.exporting import export
from pipeline.serving.formats import keras_file
from pipeline.serving.formats.network import Network

CLASSES = tuple("0123456789")


@functools.cache
def parts(model: str, steps: int = 2, **fields):
    """An assembly, towers that hold what it came to after some steps, and the checkpoint of that. Not to be changed."""
    fields = {"grad_shards": 1} | fields
    assembly = small_run.assembly(model=model, **fields)
    trainer = small_run.trainer(model=model, **fields)
    trainer.advance(0, steps)
    values = state.arrays(trainer.towers.check_equal(steps))
    return assembly, assembly.towers(values), Restored(Manifest(steps, 0.0, "", "", {}, {}, {}), values, {})


def files(directory) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


@pytest.mark.parametrize("format_name", formats.FORMATS)
@pytest.mark.parametrize("model", ["convolutional", "resnet20", "models_for_tests:batch_norm"])
def test_every_export_gives_the_probabilities_of_predict(format_name, model, tmp_path):
    exported = export(*parts(model), format_name, tmp_path)
    assert exported.path.exists() and exported.path.is_relative_to(tmp_path / "1")
    assert exported.difference <= (0 if format_name == "savedmodel" else 2e-6)
    [labels] = tmp_path.rglob("labels.txt")
    assert tuple(labels.read_text().split("\n")) == (*CLASSES, "")


@pytest.mark.parametrize("format_name", formats.FORMATS)
def test_a_constant_of_the_model_is_no_input_of_the_export(format_name, tmp_path):
    assert export(*parts("models_for_tests:offset"), format_name, tmp_path).difference < 2e-6


@pytest.mark.parametrize("format_name", formats.FORMATS)
def test_every_format_has_a_gelu(format_name, tmp_path):
    assert export(*parts("models_for_tests:gelu"), format_name, tmp_path).difference < 2e-6  # Keras' own
    exported = export(*parts("whitened", image_size="16"), format_name, tmp_path)
    assert exported.difference < 2e-6
    assert exported.notes == []  # a .keras file of whitened needs no classes but those of Keras


@pytest.mark.parametrize("format_name", formats.FORMATS)
def test_an_export_normalizes_its_images(format_name, tmp_path):
    assert export(*parts("convolutional", normalize="mnist"), format_name, tmp_path).difference < 2e-6


@pytest.mark.parametrize("format_name", formats.FORMATS)
def test_an_export_takes_the_mean_over_the_views(format_name, tmp_path):
    assert export(*parts("cnn_bn", tta="flip,reflect_crop:1"), format_name, tmp_path).difference < 2e-6


@pytest.mark.parametrize("format_name", formats.FORMATS)
def test_an_export_of_several_labels_gives_each_class_a_probability_of_its_own(format_name, tmp_path):
    assembly, towers, restored = parts("models_for_tests:linear", multi_label=True)
    exported = export(assembly, towers, restored, format_name, tmp_path)
    assert exported.difference < 2e-6
    images = np.random.default_rng(1).integers(0, 256, [5, 28, 28, 1], np.uint8)
    given = formats.module(format_name).load(tmp_path / "1")(images)
    [kernel] = [value for name, value in restored.values.items() if name.startswith("parameters/")]
    by_hand = 1 / (1 + np.exp(-(images.reshape(5, -1) / 255 @ kernel.astype(np.float64))))
    np.testing.assert_allclose(given, by_hand, atol=1e-5)
    if format_name == "savedmodel":
        answers = tf.saved_model.load(str(exported.path)).signatures["serving_default"](images=tf.constant(images))
        assert answers.keys() == {"probabilities", "has_class"}
        np.testing.assert_array_equal(answers["has_class"], by_hand > 0.5)


@pytest.mark.parametrize("format_name", formats.FORMATS)
def test_a_run_in_16_bits_is_exported_too(format_name, tmp_path):
    exported = export(*parts("models_for_tests:batch_norm", precision="float16"), format_name, tmp_path)
    assert 0 <= exported.difference < 0.02


def test_a_keras_file_has_layers_of_keras_alone_and_the_runs_own_values(tmp_path):
    assembly, towers, restored = parts("convolutional")
    exported = export(assembly, towers, restored, "keras", tmp_path)
    assert exported.notes == []
    with zipfile.ZipFile(exported.path) as archive:
        assert "pipeline" not in archive.read("config.json").decode()
    network = keras.saving.load_model(exported.path).get_layer("convolutional")
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["InputLayer", *["Conv2D", "MaxPooling2D"] * 2, "Flatten", "Dense", "Dropout", "Dense"]
    assert len(network.trainable_variables) == 8
    for variable in network.trainable_variables:
        np.testing.assert_array_equal(variable, restored.values[f"parameters/{variable.path}"])


def test_a_residual_networks_keras_file_has_layers_of_keras_alone(tmp_path):
    assembly, towers, restored = parts("resnet20")
    exported = export(assembly, towers, restored, "keras", tmp_path)
    assert exported.notes == []
    network = keras.saving.load_model(exported.path).get_layer("resnet20")
    assert sum(type(layer) is keras.layers.BatchNormalization for layer in network.layers) == 19
    for variable in network.non_trainable_variables:
        np.testing.assert_array_equal(variable, restored.values[f"statistics/{variable.path}"])


def test_a_keras_file_takes_bytes_and_floats_of_0_to_255(tmp_path):
    exported = export(*parts("convolutional"), "keras", tmp_path)
    model = keras.saving.load_model(exported.path)
    images = np.arange(3 * 28 * 28, dtype=np.int64).reshape(3, 28, 28, 1).astype(np.uint8)
    told = model.predict(images, verbose=0)
    np.testing.assert_array_equal(told, model.predict(images.astype(np.float64), verbose=0))
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-6)


def test_pooled_convolutions_of_a_sequential_model_are_replaced_too():
    from pipeline.models.layers import PooledConvolution

    start = {"kernel_initializer": "glorot_uniform", "bias_initializer": "ones"}
    model = keras.Sequential([keras.Input((9, 9, 1)), PooledConvolution(4, 3, **start), keras.layers.Flatten()])
    plain = keras_file.with_keras_layers(model)
    plain.set_weights(model.get_weights())
    images = np.linspace(0, 1, 162, dtype=np.float32).reshape(2, 9, 9, 1)
    np.testing.assert_array_equal(plain(images), model(images))
    assert {"Conv2D", "MaxPooling2D"} < {type(layer).__name__ for layer in plain.layers}


def test_a_residual_network_needs_no_classes_but_those_of_keras(tmp_path):
    exported = export(*parts("resnet20"), "keras", tmp_path)
    assert exported.notes == []
    network = keras.saving.load_model(exported.path).layers[-2]
    assert sum(type(layer) is keras.layers.BatchNormalization for layer in network.layers) == 19


def test_classes_that_a_loader_must_have_are_named(tmp_path):
    exported = export(*parts("models_for_tests:needs_tensorflow"), "keras", tmp_path)
    assert exported.notes == ["to load it, give Keras these classes, as custom_objects: models_for_tests._Digamma"]


@pytest.mark.parametrize("format_name", ["tflite", "onnx"])
def test_what_cannot_be_converted_leaves_nothing(format_name, tmp_path):
    with pytest.raises(UsageError, match=r"model=models_for_tests:needs_tensorflow cannot be made .*Digamma"):
        export(*parts("models_for_tests:needs_tensorflow"), format_name, tmp_path)
    assert files(tmp_path) == set()


def test_an_export_that_says_something_else_than_predict_is_not_published(tmp_path):
    assembly, towers, restored = parts("softmax")
    other = {"parameters/logits/bias": np.arange(10, dtype=np.float32)}
    restored = dataclasses.replace(restored, values=restored.values | other)
    with pytest.raises(UsageError, match=r"differ by 0\.\d+ from predict's, more than 1e-05, so nothing was exported"):
        export(assembly, towers, restored, "savedmodel", tmp_path)
    assert files(tmp_path) == set()


def test_exports_are_numbered_and_the_first_stays_as_it_is(tmp_path):
    some = parts("softmax")
    export(*some, "tflite", tmp_path)
    first = (tmp_path / "1" / "model.tflite").stat()
    (tmp_path / "41").mkdir()
    assert export(*some, "tflite", tmp_path).path == tmp_path / "42" / "model.tflite"
    assert (tmp_path / "1" / "model.tflite").stat() == first
    assert (tmp_path / "42").stat().st_mode & 0o777 == 0o755


def test_what_a_killed_export_left_is_swept_and_what_a_live_one_writes_is_not(tmp_path):
    dead, live = tmp_path / ".writing-dead", tmp_path / ".writing-live"
    for hidden in (dead, live):
        hidden.mkdir()
        (hidden / "half").write_text("")
    lock = os.open(live, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    export(*parts("softmax"), "tflite", tmp_path)
    os.close(lock)
    assert files(tmp_path) == {"1", "1/model.tflite", "1/labels.txt", ".writing-live", ".writing-live/half"}


def test_an_onnx_file_carries_the_class_names(tmp_path):
    import onnx

    exported = export(*parts("softmax"), "onnx", tmp_path)
    [names] = [entry.value for entry in onnx.load(exported.path).metadata_props if entry.key == "class_names"]
    assert tuple(json.loads(names)) == CLASSES


def test_a_format_whose_packages_are_missing_says_so(monkeypatch):
    monkeypatch.setitem(formats.FORMATS, "onnx", formats.Format("onnx_file", ("onnx", "no_such_package")))
    with pytest.raises(UsageError, match="format=onnx needs no_such_package; pip install no_such_package, or"):
        formats.check("onnx")
    formats.check("savedmodel")


def test_probes_are_the_same_every_time_and_use_all_shades():
    network = Network("softmax", 1, "float32", (28, 28, 1), CLASSES, {})
    shown = [exporting._probes(network.image_shape) for _ in range(2)]
    np.testing.assert_array_equal(*shown)
    assert (shown[0].min(), shown[0].max()) == (0, 255)
