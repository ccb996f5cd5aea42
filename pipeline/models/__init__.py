"""Models, by the name that --model gives: one of REGISTRY, keras:NAME, or a user's own package.module:function.

A model is a function `(image_shape, num_classes) -> keras.Model`. The model takes float images
[n, height, width, channels] in [0, 1] and returns logits [n, num_classes]. TensorFlow is imported only
when one is built.
"""

import re
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.models.names import APPLICATIONS, KERAS, REGISTRY, target
from pipeline.text.flag_values import NO_NORMALIZATION, NO_VIEWS, Normalization, Views
from pipeline.text.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras


def check(name: str) -> None:
    """Raises UsageError unless the name is known or has the form package.module:function; imports nothing."""
    if name.startswith(KERAS):
        application = name.removeprefix(KERAS)
        if application not in APPLICATIONS:
            raise UsageError(
                f"model={name}: keras.applications has no '{application}'{nearest(application, APPLICATIONS)}"
            )
        return
    if name in REGISTRY or re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name):
        return
    if ":" in name:
        raise UsageError(
            f"model={name} is not of the form package.module:function; write --model=my_models:my_function"
        )
    module, dot, function = name.rpartition(".")
    hint = f"; did you mean {module}:{function}? known: {', '.join(REGISTRY)}" if dot else nearest(name, REGISTRY)
    raise UsageError(f"model={name} is unknown{hint}, or your own package.module:function")


def function(name: str) -> "Callable[..., keras.Model]":
    """The function that makes the model, with its module imported. Raises UsageError if that cannot be."""
    from pipeline.models import construction

    return construction.load(name, target(name))


def build(
    name: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    seed: int,
    precision: str,
    normalization: Normalization = NO_NORMALIZATION,
    views: Views = NO_VIEWS,
) -> "keras.Model":
    """The model with initial values that are a pure function of (seed, name, image_shape, num_classes).

    image_shape: height, width, channels. precision: one of config.PRECISIONS; variables are float32 in all.
    The logits come in whatever dtype the model's last layer computes in (float32 in every registered model);
    a caller casts them to float32 before the loss. Its images are made by `inputs.scaled`, which normalizes them, and
    at inference `views.averaged` calls it. Raises UsageError where a user's function cannot be imported, fails, or
    makes something else than a model, for a normalization of other channels, and for views of larger images.
    """
    check(name)
    from pipeline.models import construction, inputs
    from pipeline.models import views as views_of

    model = construction.build(name, target(name), image_shape, num_classes, seed, precision)
    inputs.normalize(model, normalization, image_shape[-1])
    views_of.choose(model, views, image_shape)
    return model
