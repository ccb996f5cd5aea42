"""keras:NAME: Keras' own network behind its own preprocessing; `python -m tests.applications` trains every family."""

import inspect

import keras
import numpy as np
import pytest
import small_run

from pipeline import models
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.models import applications
from pipeline.models.gelu import Gelu
from pipeline.models.layers import FusedBatchNormalization
from pipeline.models.names import APPLICATIONS
from pipeline.runs import fine_tuning

IMAGES = np.random.default_rng(0).integers(0, 256, [2, 32, 32, 3]).astype(np.float32)


def test_every_image_network_of_keras_is_known_with_its_module():
    networks = {name for name, member in vars(keras.applications).items() if inspect.isfunction(member)}
    assert APPLICATIONS.keys() == networks
    for name, module in APPLICATIONS.items():
        assert getattr(keras.applications, name).__module__.rpartition(".")[2] == module


@pytest.mark.parametrize("name", ["VGG16", "MobileNetV3Small"])
def test_features_are_those_of_keras_on_what_its_preprocessing_makes(name):
    ours = models.build(f"keras:{name}", (32, 32, 3), 10, 1, "float32")
    theirs = applications.network(name, include_top=False, input_shape=(32, 32, 3), pooling="avg")
    own = {variable.path: variable for variable in ours.variables}
    for variable in theirs.variables:
        variable.assign(own.pop(variable.path))
    assert {path for path in own if "seed" not in path} == {"logits/kernel", "logits/bias"}
    expected = theirs(getattr(keras.applications, APPLICATIONS[name]).preprocess_input(IMAGES.copy()))
    features = keras.Model(ours.input, ours.get_layer("logits").input)(IMAGES / 255)
    largest = np.abs(np.asarray(expected)).max()  # small, since fresh statistics leave every layer's output smaller
    assert largest > 0
    np.testing.assert_allclose(features / largest, expected / largest, atol=1e-4)
    normalized = [layer for layer in ours.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(isinstance(layer, FusedBatchNormalization) for layer in normalized)


def test_convnext_has_the_faster_gelu():
    model = models.build("keras:ConvNeXtTiny", (32, 32, 3), 10, 1, "float32")
    assert [layer.name for layer in model.layers if isinstance(layer, Gelu)] == [
        f"convnext_tiny_stage_{stage}_block_{block}_gelu"
        for stage, count in enumerate((3, 3, 9, 3))
        for block in range(count)
    ]


def test_efficientnet_normalizes_as_the_published_one_without_looking_at_data():
    """The published networks divide by the deviation, and once more by its root."""
    model = models.build("keras:EfficientNetB0", (32, 32, 3), 10, 1, "float32")
    [layer] = [layer for layer in model.layers if isinstance(layer, keras.layers.Normalization)]
    found = keras.Model(model.input, layer.output)(IMAGES / 255)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (IMAGES / 255 - mean) / deviation / np.sqrt(deviation)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert not [variable for variable in model.variables if "normalization" in variable.path.split("/")[0][:13]]


def test_the_weights_of_a_published_file_are_taken_but_for_its_classes(tmp_path):
    fields = {"model": "keras:MobileNetV3Small", "image_size": "32", "optimizer": "sgd"}
    initial, path = small_run.assembly(**fields).initial(), tmp_path / "published.weights.h5"
    for include_top in (True, False):
        network = applications.network("MobileNetV3Small", include_top=include_top)
        network.save_weights(path)
        source = fine_tuning.source_of(small_run.config(**fields, init_from=str(path)))
        imported = fine_tuning.match(initial, source)
        assert list(imported.fresh) == ["parameters/logits/kernel", "parameters/logits/bias"]
        theirs = {variable.path: variable for variable in network.variables}
        for name in imported.taken:
            np.testing.assert_array_equal(imported.values[name], theirs[name.split("/", 1)[1]])


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("keras:MobileNetV4", (32, 32, 3), "model=keras:MobileNetV4: keras.applications has no 'MobileNetV4'; did you"),
        ("keras:VGG16", (28, 28, 1), "model=keras:VGG16: images of 28 x 28 are too small for it; use --image_size=32"),
        ("keras:Xception", (32, 32, 3), "model=keras:Xception: images of 32 x 32 are too small for it; use .*=71"),
    ],
)
def test_what_keras_has_not_is_refused(name, shape, words):
    with pytest.raises(UsageError, match=words):
        models.build(name, shape, 10, 1, "float32")


def test_weights_without_a_model_are_refused_for_others(tmp_path):
    (tmp_path / "x.weights.h5").touch()
    with pytest.raises(UsageError, match="holds weights without their model, which are read for --model=keras:NAME"):
        fine_tuning.check(Config(init_from=str(tmp_path / "x.weights.h5")))
