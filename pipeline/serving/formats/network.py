"""A trained network as all formats take it: the model, its values, its image shape and class names."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pipeline import models
from pipeline.engine import forward, losses, state
from pipeline.errors import UsageError
from pipeline.models import folding
from pipeline.models.variables import is_seed, statistics_of
from pipeline.text.flag_values import NO_NORMALIZATION, NO_VIEWS, Normalization, Views

Runner = Callable[[np.ndarray], np.ndarray]  # [n, h, w, c] uint8 -> probabilities [n, classes] float32

LABELS = "labels.txt"  # one class name a line, in the order of the probabilities


@dataclasses.dataclass(frozen=True)
class Network:
    """A network to be exported. Its images are [n, *image_shape] uint8."""

    model_name: str  # the value of --model
    seed: int
    precision: str
    image_shape: tuple[int, int, int]  # height, width, channels
    class_names: tuple[str, ...]
    values: state.Values  # parameters and statistics
    eval_crop: float = 1.0  # the share of a picture's height and width that the network sees of a file
    normalization: Normalization = NO_NORMALIZATION
    views: Views = NO_VIEWS  # those of a picture, whose logits are averaged
    multi_label: bool = False  # whether an image has any number of classes, each with a probability of its own

    def model(self, precision: str) -> keras.Model:
        """The Keras model with these values. It computes in this precision; its variables are float32."""
        about = self.model_name, self.image_shape, len(self.class_names), self.seed, precision
        model = models.build(*about, self.normalization, self.views)
        assign(model, self.values)
        return model

    def write_labels(self, directory: Path) -> Path:
        """Writes the class names to labels.txt, one a line. Returns its path."""
        path = directory / LABELS
        path.write_text("".join(f"{name}\n" for name in self.class_names))
        return path


def assign(model: keras.Model, values: state.Values) -> None:
    """Gives a model's variables their values, by name."""
    trainable = {id(variable) for variable in model.trainable_variables}
    for variable in model.variables:
        if not is_seed(variable):
            prefix = "parameters" if id(variable) in trainable else "statistics"
            variable.assign(values[f"{prefix}/{variable.path}"])


class Predictor(tf.Module):
    """The network as plain TensorFlow: variables, folded for inference, and functions of tensors; without Keras."""

    def __init__(self, network: Network, precision: str):
        super().__init__(name="predictor")
        model = network.model(precision)
        parameters, statistics = model.trainable_variables, statistics_of(model)
        folded = folding.fold(model, *([v.value for v in group] for group in (parameters, statistics)))
        self.parameters, self.statistics = (
            [tf.Variable(value, trainable, name=v.path) for v, value in zip(group, values, strict=True)]
            for group, values, trainable in zip((parameters, statistics), folded, (True, False), strict=True)
        )
        loss = losses.plain(network.multi_label)

        def probabilities(images: tf.Tensor) -> dict[str, tf.Tensor]:
            logits = forward.evaluate_folded(model, self.parameters, self.statistics, images)
            return {"probabilities": loss.probabilities(logits)}

        # A closure: as an attribute, the Keras model would be saved with this module.
        signature = [tf.TensorSpec([None, *network.image_shape], tf.uint8, name="images")]
        self.predict = tf.function(probabilities, input_signature=signature, autograph=False)


def cannot_be_converted(network: Network, target: str, error: Exception) -> UsageError:
    """The error for a failed conversion, with the first line of the converter's own error."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UsageError(f"model={network.model_name} cannot be made {target} ({reason}); use --format=savedmodel")
