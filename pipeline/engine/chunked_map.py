"""Batches of a tf.data pipeline, computed in parts that several threads can share."""

from collections.abc import Callable

import tensorflow as tf

# A chunk is large enough to outweigh the cost of starting it. It is no larger, so that all threads work on the batch
# that the step waits for, and few bytes are in flight. Large images go one by one, small ones by the batch.
CHUNK_BYTES = 2**20


def dataset(
    first: int,
    last: int,
    size: int,
    image_bytes: int,
    compute: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]],
    together: int = 1,
) -> tf.data.Dataset:
    """Batches number `first` to `last` - 1, each of `size` examples, in order; starts in O(1).

    compute: (number of the batch [], numbers of examples within it [n]) -> tensors of leading dimension n. An example
    must not depend on the others that are computed with it. image_bytes: about the size of one example.
    together: examples that must be computed together, and may depend on each other; `size` is a multiple of it.
    """
    sizes = [n for n in range(together, size + 1, together) if size % n == 0]
    chunk = max(n for n in sizes if n == together or n * image_bytes <= CHUNK_BYTES)
    chunks = size // chunk

    # Without this, AutoGraph spends seconds to find that there is nothing to convert.
    @tf.autograph.experimental.do_not_convert
    def part(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return compute(number // chunks, number % chunks * chunk + tf.range(chunk, dtype=tf.int64))

    @tf.autograph.experimental.do_not_convert
    def whole(*parts: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(tf.reshape(tensor, [size, *tensor.shape[2:]]) for tensor in parts)

    numbers = tf.data.Dataset.range(first * chunks, last * chunks)
    parts = numbers.map(part, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return parts if chunks == 1 else parts.batch(chunks, drop_remainder=True).map(whole)
