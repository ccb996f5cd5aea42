"""tflite: one model.tflite for phones and small boards, which takes uint8 images and returns probabilities.

TensorFlow Lite has no bfloat16, so the export always computes in float32.
"""

import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipeline.serving.formats.network import Network, Predictor, Runner, cannot_be_converted

NAME = "model.tflite"


def write(network: Network, directory: Path) -> list[str]:
    """Writes model.tflite and the labels. Raises UsageError for an operation that TensorFlow Lite does not have."""
    predictor = Predictor(network, "float32")
    concrete = predictor.predict.get_concrete_function()
    try:
        content = tf.lite.TFLiteConverter.from_concrete_functions([concrete], predictor).convert()
    except Exception as error:  # the converter's own class for it is not public
        raise cannot_be_converted(network, "TensorFlow Lite", error) from error
    (directory / NAME).write_bytes(content)
    network.write_labels(directory)
    return []


def load(directory: Path) -> Runner:
    """The model, loaded by TensorFlow Lite's interpreter."""
    # The built-in kernels, without the default delegate, which logs a line.
    kernels = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow 2.21 announces its move to the package ai_edge_litert
        interpreter = tf.lite.Interpreter(str(directory / NAME), experimental_op_resolver_type=kernels)
    [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(taken["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])

    return run
