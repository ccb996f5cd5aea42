"""A step's graph with names by which TensorBoard groups it into a box for each tower, and one for the host.

Names decide what a reader sees first: without this, gradients lie in a tower's scope inside of another of the same
name, and every operation of the host stands on its own.
"""

import re

import tensorflow as tf

# The first that matches a name renames it.
_RULES = [
    (re.compile(r"(tower_\d+/shard_\d+)/gradients/(?:\1/)?"), r"\1/gradient/"),
    (re.compile(r"(tower_\d+|shared)/((?:Read|Identity)[^/]*)"), r"\1/parameters/\2"),
    (re.compile(r"(?=tower_\d+/|shared/)"), ""),
    (re.compile(r""), "host/"),
]


def readable(graph: tf.compat.v1.GraphDef) -> tf.compat.v1.GraphDef:
    """The same operations, edges and devices, renamed."""
    renamed = tf.compat.v1.GraphDef()
    renamed.CopyFrom(graph)
    for node in renamed.node:
        node.name = _rename(node.name)
        node.input[:] = ["^" + _rename(name[1:]) if name.startswith("^") else _rename(name) for name in node.input]
        node.attr.pop("_class", None)  # which operations lie together, by their old names
    return renamed


def _rename(name: str) -> str:
    for pattern, replacement in _RULES:
        if pattern.match(name):
            return pattern.sub(replacement, name, count=1)
    raise AssertionError(name)  # the last rule matches every name
