"""onnx: one model.onnx, by tf2onnx; input `images` uint8, output `probabilities`, the class names in its metadata.

Runtimes seldom have kernels for 16 bits, so the network computes in float32 here, whatever it was trained in.
"""

import json
import logging
from pathlib import Path

import onnx
import onnxruntime
import tf2onnx

from pipeline.formats.network import Network, Predictor, Runner, cannot_be_converted

NAME = "model.onnx"
OPSET = 18  # the newest that tf2onnx 1.17 knows

logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # what users need to know of it, we say


def write(network: Network, directory: Path) -> list[str]:
    """Writes model.onnx and the labels. Raises UsageError for an operation that tf2onnx does not know."""
    predictor = Predictor(network, "float32")
    try:
        converted, _ = tf2onnx.convert.from_function(predictor.predict, predictor.predict.input_signature, opset=OPSET)
        onnx.checker.check_model(converted)  # an operation that tf2onnx does not know, it leaves as it is
    except Exception as error:  # whatever it meets
        raise cannot_be_converted(network, "ONNX", error) from error
    onnx.helper.set_model_props(converted, {"class_names": json.dumps(network.class_names)})
    onnx.save(converted, directory / NAME)
    network.write_labels(directory)
    return []


def load(directory: Path) -> Runner:
    """The model as ONNX Runtime runs it."""
    session = onnxruntime.InferenceSession(directory / NAME, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probabilities"], {"images": images})[0]
