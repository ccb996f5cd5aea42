"""Several networks as one model: each is trained on its part of a batch, and their mean answers.

A step costs what a step of one network costs, and each network is trained as if it were alone. So they make other
mistakes, and their mean makes fewer (Hansen and Salamon 1990, Neural network ensembles).
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.errors import UsageError


@keras.saving.register_keras_serializable("pipeline")
class Part(keras.layers.Layer):
    """In training, part number `number` of `of` equal parts of a batch; else the whole batch."""

    def __init__(self, number: int, of: int, **options: Any) -> None:
        """The options are a layer's."""
        super().__init__(**options)
        self.number, self.of = number, of

    def call(self, batch: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """[n, ...] -> [about n / of, ...] in training. Raises UsageError for a batch of fewer than `of` examples."""
        if not training:
            return batch
        size = batch.shape[0] if batch.shape[0] is not None else tf.shape(batch)[0]
        if isinstance(size, int) and size < self.of:
            raise _too_few(size, self.of)
        return batch[size * self.number // self.of : size * (self.number + 1) // self.of]

    def in_keras(self) -> Sequence[keras.layers.Layer]:
        """Nothing, by a layer's name."""
        return [keras.layers.Activation("linear", name=self.name, dtype=self.dtype_policy)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"number": self.number, "of": self.of}


@keras.saving.register_keras_serializable("pipeline")
class Mean(keras.layers.Layer):
    """The logits of a model of several networks: in training those of each one's part; else the mean of all.

    The gradient is that of the mean loss over each part, not over the batch: rates are those of one network.
    """

    def call(self, logits: Sequence[tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """[[n, classes], ...] of each network -> [n of all, classes] in training, else [n, classes]."""
        return _over_each_part(*logits) if training else tf.add_n(logits) / len(logits)

    def in_keras(self) -> Sequence[keras.layers.Layer]:
        """Keras' average."""
        return [keras.layers.Average(name=self.name, dtype=self.dtype_policy)]


def _too_few(examples: int, networks: int) -> UsageError:
    error = UsageError(f"a shard has {examples} example, and the model {networks} networks; raise --global_batch")
    error.__dict__["_keras_call_info_injected"] = True  # else Keras adds lines about the arguments of the call
    return error


@tf.custom_gradient
def _over_each_part(*logits: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """The logits of the parts one after another; the gradient of each is multiplied by the number of parts."""
    sizes = [part.shape[0] if part.shape[0] is not None else tf.shape(part)[0] for part in logits]
    return tf.concat(logits, axis=0), lambda gradient: tf.split(gradient * len(logits), sizes)
