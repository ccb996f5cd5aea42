"""Parts of graphs that decoders of picture files share: functions that are not inlined, and refusals."""

import functools

import tensorflow as tf

# Inlined into a graph, the operations of a rare branch would cost time as well for every picture of another kind.
not_inlined = functools.partial(tf.function, autograph=False, experimental_attributes={"_noinline": True})


def refused(what: tf.Tensor | str) -> tf.Tensor:
    """A scalar string for those who trace it, and an error where it is computed: the text is no number.

    An assertion has a state, so tf.data may compute one batch at a time; and Python is in no export.
    """
    return tf.strings.as_string(tf.strings.to_number(what + tf.constant(": it cannot be decoded")))
