"""Batches of a tf.data pipeline, computed in parts that several threads can share."""

from collections.abc import Callable

import tensorflow as tf

# Large images one by one, small ones by the batch: enough work to make up for what starting it costs, and no more, so
# that all threads work on the batch that is waited for and few bytes are on their way.
CHUNK_BYTES = 2**20


def dataset(
    first: int, last: int, size: int, image_bytes: int, of: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]]
) -> tf.data.Dataset:
    """Batches number `first` to `last` - 1, each of `size` examples, in order; starts in O(1).

    of: (number of the batch [], numbers of examples within it [n]) -> tensors of leading dimension n. An example must
    not depend on which others it is computed with. image_bytes: what one example takes, about.
    """
    chunk = max(n for n in range(1, size + 1) if size % n == 0 and (n == 1 or n * image_bytes <= CHUNK_BYTES))
    chunks = size // chunk

    # AutoGraph has nothing to convert here, and takes seconds to find that out.
    @tf.autograph.experimental.do_not_convert
    def part(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return of(number // chunks, number % chunks * chunk + tf.range(chunk, dtype=tf.int64))

    @tf.autograph.experimental.do_not_convert
    def whole(*parts: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(tf.reshape(tensor, [size, *tensor.shape[2:]]) for tensor in parts)

    numbers = tf.data.Dataset.range(first * chunks, last * chunks)
    parts = numbers.map(part, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return parts if chunks == 1 else parts.batch(chunks, drop_remainder=True).map(whole)
