"""A step's graph, renamed so that TensorBoard draws one box for each tower and one for the host.

TensorBoard groups operations by their names. Under TensorFlow's own names, a tower's gradients lie in a box of that
tower inside of another one, and every operation of the host stands on its own.
"""

import re

import tensorflow as tf

# The first rule that matches a name renames it.
_RULES = [
    (re.compile(r"(tower_\d+/shard_\d+)/(?:Stateful)?PartitionedCall/model/gradients/(?:model/)?"), r"\1/gradient/"),
    (re.compile(r"(tower_\d+/shard_\d+)/(?:Stateful)?PartitionedCall/model/"), r"\1/model/"),
    (re.compile(r"(tower_\d+|shared)/((?:Read|Identity)[^/]*)"), r"\1/parameters/\2"),
    (re.compile(r"(?=tower_\d+/|shared/)"), ""),
    (re.compile(r"(?:while/)?"), "host/"),
]


def readable(graph: tf.compat.v1.GraphDef) -> tf.compat.v1.GraphDef:
    """A copy of the graph with other names; operations, edges and devices stay.

    What takes the examples has no device of its own, and gets the host's: TensorFlow runs it where they are made.
    """
    renamed = tf.compat.v1.GraphDef()
    renamed.CopyFrom(graph)
    for node in renamed.node:
        node.name = _rename(node.name)
        node.input[:] = ["^" + _rename(name[1:]) if name.startswith("^") else _rename(name) for name in node.input]
        node.attr.pop("_class", None)  # it names operations by their old names
    host = next(node.device for node in renamed.node if node.device and node.name.startswith("host/"))
    for node in renamed.node:
        node.device = node.device or host
    return renamed


def _rename(name: str) -> str:
    for pattern, replacement in _RULES:
        if pattern.match(name):
            return pattern.sub(replacement, name, count=1)
    raise AssertionError(name)  # the last rule matches every name
