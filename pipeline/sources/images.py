"""PNG and JPEG files to pixels, inside TensorFlow's graph."""

import tensorflow as tf


def decode(encoded: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """The bytes of one image file, a scalar string -> [height, width, channels] uint8.

    Colours become grey, or grey three equal colours, as `image_shape` says; an alpha channel is dropped; an image of
    another size is resized (bilinear, antialiased), its aspect not kept.
    Raises tf.errors.InvalidArgumentError for bytes that are no whole image.
    """
    height, width, channels = image_shape
    image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
    fits = tf.reduce_all(tf.shape(image) == image_shape)
    return tf.ensure_shape(tf.cond(fits, lambda: image, lambda: resize(image, height, width)), image_shape)


def decode_batch(encoded: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """The bytes of n image files, [n] strings -> [n, height, width, channels] uint8."""
    return map_images(lambda one: decode(one, image_shape), encoded, image_shape)


def map_images(function, elements: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """`function` of each of n elements, each an image: [n, height, width, channels] uint8."""
    # Inside tf.data a loop's iterations do run side by side.
    signature = tf.TensorSpec(image_shape, tf.uint8)
    return tf.map_fn(function, elements, fn_output_signature=signature, parallel_iterations=16)


def resize(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """One image or a batch, [..., any, any, channels] uint8 -> [..., height, width, channels] uint8."""
    resized = tf.image.resize(images, [height, width], antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
