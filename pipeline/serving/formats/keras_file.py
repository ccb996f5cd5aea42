"""keras: one model.keras, which plain Keras loads without this project.

The model takes images [n, height, width, channels] of 0 to 255, uint8 or float, and returns probabilities [n, classes].
Its last layer but one is the network that returns logits.
"""

import importlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
from keras import layers

from pipeline.models import inputs, views
from pipeline.models.layers import Replaceable
from pipeline.models.whitened import Dirac
from pipeline.serving.formats.network import Network, Runner, assign, cannot_be_converted

NAME = "model.keras"


def write(network: Network, directory: Path) -> list[str]:
    """Writes model.keras and the labels. Raises UsageError for a user's model that Keras cannot save."""
    try:
        classifier(network).save(directory / NAME)
    except OSError:
        raise
    except Exception as error:  # a user's own classes may raise anything when they are saved
        raise cannot_be_converted(network, "a .keras file", error) from error
    network.write_labels(directory)
    needed = ", ".join(f"{c.module}.{c.name}" for c in _foreign_classes(directory))
    return [f"to load it, give Keras these classes, as custom_objects: {needed}"] if needed else []


def classifier(network: Network) -> keras.Model:
    """The model from images of 0 to 255 to probabilities, made of Keras' own layers."""
    trained = network.model(network.precision)
    model = with_keras_layers(trained)
    own = {variable.path for variable in trained.variables}
    # Of Keras' layers in the place of ours that hold no variable, such as the whitening.
    constants = {f"statistics/{v.path}": v.value for v in model.variables if v.path not in own}
    assign(model, network.values | constants)
    images = keras.Input(network.image_shape, name="images")
    logits = views.averaged(trained, images, lambda seen: model(inputs.scaled(trained, seen)))
    options = {"dtype": "float32", "name": "probabilities"}
    last = layers.Activation("sigmoid", **options) if network.multi_label else layers.Softmax(**options)
    return keras.Model(images, last(logits), name="classifier")


def with_keras_layers(model: keras.Model) -> keras.Model:
    """A copy of the model with fresh values, and with Keras' layers in place of this project's.

    A model without layers of this project is returned as it is. Layers inside of other layers stay.
    """
    if not any(isinstance(layer, Replaceable) for layer in model.layers):
        return model
    followers: dict[int, Sequence[keras.Layer]] = {}  # by the layer that they follow

    def plain(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, Replaceable):
            first, *others = layer.in_keras()
            followers[id(first)] = others
            return first
        config = layer.get_config()
        if isinstance(getattr(layer, "kernel_initializer", None), Dirac):
            config["kernel_initializer"] = "zeros"  # its values are given
        return layer.__class__.from_config(config)

    def call(layer: keras.Layer, *arguments: Any, **options: Any) -> Any:
        outputs = layer(*arguments, **options)
        for follower in followers.get(id(layer), ()):
            outputs = follower(outputs)
        return outputs

    functional = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # also where it is a Sequential
    return keras.models.clone_model(functional, clone_function=plain, call_function=call)


def load(directory: Path) -> Runner:
    """The model, loaded by Keras with the user's own classes that it needs."""
    needed = {c.registered: getattr(importlib.import_module(c.module), c.name) for c in _foreign_classes(directory)}
    model = keras.saving.load_model(directory / NAME, custom_objects=needed, compile=False)
    return lambda images: keras.ops.convert_to_numpy(model(images, training=False))


class _Class(NamedTuple):
    """A class that a .keras file needs."""

    module: str
    name: str
    registered: str  # the name by which Keras looks it up


def _foreign_classes(directory: Path) -> list[_Class]:
    """The classes in the file that are not Keras' own; they are needed to load it."""
    with zipfile.ZipFile(directory / NAME) as archive:
        config = json.loads(archive.read("config.json"))
    return sorted(set(_foreign_in(config)))


def _foreign_in(config: Any) -> Iterator[_Class]:
    if isinstance(config, dict):
        module = config.get("module") or "builtins"
        if config.get("registered_name") and module.partition(".")[0] not in ("keras", "builtins"):
            yield _Class(module, config["class_name"], config["registered_name"])
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from _foreign_in(part)
