"""What a model is given: pixels in [0, 1] or, with --normalize, around 0."""

from typing import Any

import keras

from pipeline.errors import UsageError
from pipeline.text.flag_values import Normalization

_ATTRIBUTE = "pipeline_normalization"  # of a model: its mean and deviation, one number each or one a channel


def normalize(model: keras.Model, by: Normalization, channels: int) -> None:
    """Lets `scaled` normalize this model's images. Raises UsageError unless there is a number for each channel."""
    if not by.mean:
        return
    for name, numbers in by._asdict().items():
        if len(numbers) not in (1, channels):
            raise UsageError(
                f"normalize has {len(numbers)} numbers as its {name}, and images have {channels} channels; "
                "give one number, or one for each channel"
            )
    setattr(model, _ATTRIBUTE, by)


def scaled(model: keras.Model, images: Any) -> Any:
    """Images of 0 to 255 as the model takes them, in its compute dtype: tensors, or Keras' symbolic ones.

    Without normalization they are divided by 255. With it, (images / 255 - mean) / deviation is computed in float32.
    """
    # A division: keras.layers.Rescaling would multiply by 1 / 255, which rounds to other bits.
    by = getattr(model, _ATTRIBUTE, None)
    if by is None:
        return keras.ops.cast(images, model.compute_dtype) / 255
    mean, deviation = (keras.ops.convert_to_tensor(list(numbers), "float32") for numbers in by)
    return keras.ops.cast((keras.ops.cast(images, "float32") / 255 - mean) / deviation, model.compute_dtype)
