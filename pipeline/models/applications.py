"""The image networks of keras.applications, as --model=keras:NAME: (image_shape, num_classes) -> keras.Model.

Each is made from fresh values, behind the preprocessing that it is published with, with a new layer of logits.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from pipeline.errors import UsageError
from pipeline.models.gelu import Gelu
from pipeline.models.layers import FusedBatchNormalization, ImageShape
from pipeline.models.names import APPLICATIONS

_LEAST_SIDES = {"inception_resnet_v2": 75, "inception_v3": 75, "xception": 71}  # of images, by module
_LEAST_SIDE = 32  # of the others
# Of ImageNet's pixels in [0, 1].
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def __getattr__(name: str) -> Callable[..., keras.Model]:
    """The function that makes the network of this name."""
    if name not in APPLICATIONS:
        raise AttributeError(name)
    return functools.partial(_model, name)


def network(name: str, **options: Any) -> keras.Model:
    """Keras' own network, with fresh values; options are those of keras.applications."""
    return getattr(keras.applications, name)(weights=None, **options)


def _model(name: str, image_shape: ImageShape, num_classes: int) -> keras.Model:
    """The network and logits. Grey images are taken as three equal colours."""
    height, width, channels = image_shape
    module = getattr(keras.applications, APPLICATIONS[name])
    least = _LEAST_SIDES.get(APPLICATIONS[name], _LEAST_SIDE)
    if min(height, width) < least:
        raise UsageError(f"images of {height} x {width} are too small for it; use --image_size={least} or more")
    images = x = keras.Input(image_shape, name="images")
    if channels == 1:
        x = layers.Concatenate(name="colours")([x, x, x])
    x = module.preprocess_input(layers.Rescaling(255.0, name="levels")(x))
    features = network(name, include_top=False, input_tensor=x, pooling="avg").output
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(features)
    return keras.models.clone_model(keras.Model(images, logits, name=name.lower()), clone_function=_suitable)


def _suitable(layer: keras.Layer) -> keras.Layer:
    """A layer with fresh values, suited to training here."""
    config = layer.get_config()
    if type(layer) is layers.BatchNormalization and layer.scale and layer.center:
        return FusedBatchNormalization.from_config(config)
    if type(layer) is layers.Activation and layer.activation is keras.activations.gelu:
        return Gelu(name=layer.name, dtype=layer.dtype_policy)
    if type(layer) is layers.Normalization and layer.input_mean is None:
        # EfficientNet's, which would have to see data first. The published networks divide by the root of the
        # deviation once more, in a layer that fresh ones lack.
        variance = [deviation**3 for deviation in _DEVIATION]
        return layers.Normalization(axis=-1, mean=_MEAN, variance=variance, name=layer.name, dtype=layer.dtype_policy)
    return type(layer).from_config(config)
