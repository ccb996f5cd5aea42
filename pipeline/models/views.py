"""Several views of a picture at inference, whose logits are averaged: test-time augmentation."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from pipeline.errors import UsageError
from pipeline.text.flag_values import NO_VIEWS, Views

_ATTRIBUTE = "pipeline_views"  # of a model: the views of its images


def choose(model: keras.Model, views: Views, image_shape: tuple[int, int, int]) -> None:
    """Lets `averaged` take these views of this model's images. Raises UsageError for a shift beyond their size."""
    if views.shift >= min(image_shape[:2]):
        raise UsageError(
            f"tta=reflect_crop:{views.shift} moves by more pixels than images of {image_shape[0]} x {image_shape[1]} "
            f"have; use {min(image_shape[:2]) - 1} or fewer"
        )
    setattr(model, _ATTRIBUTE, views)


def averaged(model: keras.Model, images: Any, logits_of: Callable[[Any], Any]) -> Any:
    """The mean of the views' logits. Without views, `logits_of(images)`.

    images: [n, height, width, channels] of 0 to 255, tensors or Keras' symbolic ones. logits_of: gives [m, classes]
    float32 of [m, height, width, channels], and is called once, with all views of all images.
    The picture itself, with its mirror image, counts as much as those that are moved.
    """
    views = getattr(model, _ATTRIBUTE, NO_VIEWS)
    if views == NO_VIEWS:
        return logits_of(images)
    seen = _seen(ops.cast(images, "float32"), views)
    logits = logits_of(ops.concatenate(seen))
    of_view = ops.reshape(logits, [len(seen), -1, logits.shape[-1]])
    # One addition after the other, so that its order does not depend on the number of images.
    total = of_view[0] * _weights(views)[0]
    for number, weight in enumerate(_weights(views)[1:], start=1):
        total = total + of_view[number] * weight
    return total


def _seen(images: Any, views: Views) -> list[Any]:
    """The views, each [n, height, width, channels]: as they are, then moved up and left, then down and right."""
    places = [images, *(_moved(images, views.shift) if views.shift else [])]
    return [view for place in places for view in ([place, ops.flip(place, axis=2)] if views.flip else [place])]


def _moved(images: Any, pixels: int) -> list[Any]:
    """Both windows at the corners of the images, which are mirrored at their edges."""
    _, height, width, _ = images.shape
    padded = ops.pad(images, [[0, 0], [pixels, pixels], [pixels, pixels], [0, 0]], mode="reflect")
    return [padded[:, at : at + height, at : at + width] for at in (2 * pixels, 0)]


def _weights(views: Views) -> list[float]:
    """The share of each view in the mean, a power of two."""
    of_places = [0.5, 0.25, 0.25] if views.shift else [1.0]
    return [share / 2 if views.flip else share for share in of_places for _ in range(2 if views.flip else 1)]
