"""Random keys: every random number is a pure function of a seed, a Purpose and integers.

Nothing here holds state or draws from a generator, so any step can be computed first, twice, or on another machine. The
mixing function is splitmix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators"): the same few
integer operations for one key or for a batch of them.
"""

import enum
import itertools
from typing import Any

import numpy as np
import tensorflow as tf


class Purpose(enum.IntEnum):
    """The uses of random keys; one number each, so that no two uses share a stream."""

    PERMUTATION = 1
    AUGMENTATION = 2
    DROPOUT = 3
    INITIAL_VALUES = 4
    EXAMPLE = 5
    SLOTS = 6
    OF_CLASS = 7
    FIRST_SIDE = 8


def _uint64(value: Any) -> tf.Tensor:
    if isinstance(value, tf.Tensor | tf.Variable):
        return tf.cast(value, tf.uint64)
    return tf.constant(int(value) % 2**64, tf.uint64)


def _splitmix64(x: Any) -> Any:
    """One output of splitmix64 for the state `x`, uint64 of any shape: a tensor, or an array, computed at once."""
    at_once = isinstance(x, np.ndarray)
    shifted, number = (np.right_shift, np.uint64) if at_once else (tf.bitwise.right_shift, _uint64)
    x = x + number(0x9E3779B97F4A7C15)
    x = (x ^ shifted(x, number(30))) * number(0xBF58476D1CE4E5B9)
    x = (x ^ shifted(x, number(27))) * number(0x94D049BB133111EB)
    return x ^ shifted(x, number(31))


def fold_in(seed: int, *data: Any) -> tf.Tensor:
    """The key for `data` under `seed`: uint64, of the common shape of `data`, integers or tensors of integers."""
    known = list(itertools.takewhile(lambda item: not isinstance(item, tf.Tensor | tf.Variable), data))
    number = _splitmix64(np.array([int(seed) % 2**64], np.uint64))
    for item in known:  # no work for a graph
        number = _splitmix64(number + np.uint64(int(item) % 2**64))
    key = _uint64(number[0])
    for item in data[len(known) :]:
        key = _splitmix64(key + _uint64(item))  # not symmetric: (1, 2) and (2, 1) are other keys
    return key


def uniform(seed: int, purpose: Purpose, positions: tf.Tensor, count: int) -> tf.Tensor:
    """`count` numbers in [0, 1) for each position: [n] int64 -> [n, count] float32."""
    keys = fold_in(seed, purpose, positions)[:, None]
    bits = _splitmix64(keys ^ _splitmix64(_uint64(tf.range(count))))
    # The upper 24 bits: as many as a float32 holds exactly, so that 1.0 is never reached.
    return tf.cast(tf.bitwise.right_shift(bits, _uint64(40)), tf.float32) * 2.0**-24


def permutation(
    seed: int, positions: tf.Tensor, num_examples: int, purpose: Purpose = Purpose.PERMUTATION
) -> tf.Tensor:
    """The example at each position: every one of `num_examples` exactly once an epoch.

    positions: [n] int64, position p belonging to epoch p // num_examples.
    Returns [n] int64 in [0, num_examples), each in O(1) (a keyed bijection, no table).
    """
    keys = fold_in(seed, purpose, positions // num_examples)
    return shuffled(keys, positions % num_examples, tf.constant(num_examples, tf.int64))


def shuffled(keys: tf.Tensor, indices: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Where the permutation of each key, [n] uint64, sends each index, [n] int64 in [0, count): [n] int64.

    counts: [] or [n] int64.
    """
    halves = tf.bitcast(keys, tf.uint32)  # [n, 2]
    # The raw op, since tf.random.experimental.index_shuffle of TensorFlow 2.21 pads a batch of
    # seeds on the wrong axis and fails.
    return tf.raw_ops.RandomIndexShuffle(
        index=indices,
        seed=tf.concat([halves, tf.zeros_like(halves[:, :1])], axis=1),
        max_index=counts - 1,
        rounds=4,
    )
