"""A graph whose calls of functions are replaced by these functions' operations, as TensorFlow does before it runs."""

from typing import Any

import tensorflow as tf
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def  # the public form: a Graph

_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}


def inlined(graph: tf.compat.v1.GraphDef) -> tf.compat.v1.GraphDef:
    """A copy without calls. An operation of a function called by NAME is NAME/OPERATION, on the call's device."""
    functions = {function.signature.name: function for function in graph.library.function}
    copy = tf.compat.v1.GraphDef(versions=graph.versions)
    results: dict[str, str] = {}  # a call's output -> the tensor that its function returns
    for node in graph.node:
        name = node.attr["f"].func.name if node.op in _CALLS else ""
        if name in functions:
            copy.node.extend(_body(node, functions[name], results))
        else:
            copy.node.append(node)
    for node in copy.node:
        node.input[:] = [_result(results, name) for name in node.input]
    return copy


def _body(call: tf.compat.v1.NodeDef, function: Any, results: dict[str, str]) -> list[tf.compat.v1.NodeDef]:
    """The operations of a called function, a FunctionDef. Adds what the call returns to `results`."""
    body, tensors = function_def_to_graph_def(function)
    given = [name for name in call.input if not name.startswith("^")]
    arguments = {argument.name: name for argument, name in zip(function.signature.input_arg, given, strict=True)}

    def named(name: str) -> str:
        operation, _, output = name.removeprefix("^").partition(":")
        if operation in arguments:
            source = arguments[operation]
            return f"^{source.partition(':')[0]}" if name.startswith("^") else source
        return f"{'^' * name.startswith('^')}{call.name}/{operation}{':' * bool(output)}{output}"

    operations = [node for node in body.node if node.name not in arguments]
    for node in operations:
        node.input[:] = [named(name) for name in node.input] or [f for f in call.input if f.startswith("^")]
        node.name, node.device = f"{call.name}/{node.name}", node.device or call.device
    for i, output in enumerate(function.signature.output_arg):
        results[f"{call.name}:{i}"] = named(tensors[function.ret[output.name]])
    return operations


def _result(results: dict[str, str], name: str) -> str:
    """A tensor's name, with what a call returns in place of the call."""
    if name.startswith("^"):
        return f"^{results.get(f'{name[1:]}:0', name[1:]).partition(':')[0]}"
    return results.get(name if ":" in name else f"{name}:0", name)
