"""onnx: one model.onnx, by tf2onnx; input `images` uint8, output `probabilities`, the class names in its metadata.

Few runtimes have kernels for 16 bits, so the export always computes in float32.
"""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tf2onnx
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from pipeline.serving.formats.network import Network, Predictor, Runner, cannot_be_converted

NAME = "model.onnx"
NAMES = ("images", "probabilities")  # the model's input and output
OPSET = 18  # the newest that tf2onnx 1.17 knows

logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # its errors are raised as ours; its other lines are noise


def write(network: Network, directory: Path) -> list[str]:
    """Writes model.onnx and the labels. Raises UsageError for an operation that tf2onnx does not know."""
    predictor = Predictor(network, "float32")
    try:
        converted = _converted(predictor)
        onnx.checker.check_model(converted)  # tf2onnx leaves an operation that it does not know as it is
    except Exception as error:  # tf2onnx may raise anything
        raise cannot_be_converted(network, "ONNX", error) from error
    onnx.helper.set_model_props(converted, {"class_names": json.dumps(network.class_names)})
    onnx.save(converted, directory / NAME)
    network.write_labels(directory)
    return []


def _converted(predictor: Predictor) -> onnx.ModelProto:
    # Not by tf2onnx's from_function: version 1.17 takes a captured constant for an input of the graph, such as the mean
    # in the preprocessing of Keras' applications.
    frozen = convert_variables_to_constants_v2(predictor.predict.get_concrete_function())
    names = {tensor.name: name for tensor, name in zip((*frozen.inputs, *frozen.outputs), NAMES, strict=True)}
    [taken, given] = names
    converted, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(add_shapes=True),
        input_names=[taken],
        output_names=[given],
        tensors_to_rename=names,
        opset=OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    return converted


def _erfc(graph: Any, node: Any, name: str, _: Any) -> None:
    """tf2onnx's conversion of erfc, of which Keras' GELU is made, to 1 - erf. graph, node: in its own terms."""
    shapes, types, outputs = node.output_shapes, node.output_dtypes, node.output
    one = graph.make_const(f"{name}/one", np.float32(1))
    erf = graph.make_node("Erf", node.input, shapes=shapes, dtypes=types)
    graph.remove_node(name)
    graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=outputs, name=name, shapes=shapes, dtypes=types)


def load(directory: Path) -> Runner:
    """The model, loaded by ONNX Runtime."""
    session = onnxruntime.InferenceSession(directory / NAME, providers=["CPUExecutionProvider"])
    taken, given = NAMES
    return lambda images: session.run([given], {taken: images})[0]
