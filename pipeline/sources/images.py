"""PNG and JPEG files to pixels, and pictures of any size to a model's, inside TensorFlow's graph."""

from collections.abc import Callable

import tensorflow as tf

ImageShape = tuple[int, int, int]  # height, width, channels

# (number in the batch, height, width of its picture) -> the part to take: top, left, height, width, [4] int32
Window = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def decode(encoded: tf.Tensor, image_shape: ImageShape) -> tf.Tensor:
    """The bytes of one image file, a scalar string -> [height, width, channels] uint8.

    Colours become grey, or grey three equal colours, as `image_shape` says; an alpha channel is dropped; a picture of
    another size is made to `fit`.
    Raises tf.errors.InvalidArgumentError for bytes that are no whole image.
    """
    height, width, channels = image_shape
    image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
    fits = tf.reduce_all(tf.shape(image) == image_shape)
    return tf.ensure_shape(tf.cond(fits, lambda: image, lambda: fit(image, height, width)), image_shape)


def decode_batch(raw: tf.Tensor, image_shape: ImageShape, window: Window | None = None, read=tf.identity) -> tf.Tensor:
    """n image files, [n] strings -> [n, height, width, channels] uint8: each whole, or a window of it.

    read: what makes one of the strings, [], the bytes of its file.
    """
    if window is None:
        return map_images(lambda i: decode(read(raw[i]), image_shape), raw, image_shape)
    return map_images(lambda i: _decode_window(read(raw[i]), image_shape, window, i), raw, image_shape)


def _decode_window(encoded: tf.Tensor, image_shape: ImageShape, window: Window, i: tf.Tensor) -> tf.Tensor:
    height, width, channels = image_shape

    def jpeg() -> tf.Tensor:  # the rows outside the window are skipped
        shape = tf.image.extract_jpeg_shape(encoded)
        return tf.image.decode_and_crop_jpeg(encoded, window(i, shape[0], shape[1]), channels=channels)

    def other() -> tf.Tensor:
        image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
        return _part(image, window(i, *size_of(image)))

    return resize(tf.cond(tf.io.is_jpeg(encoded), jpeg, other), height, width)


def windows(images: tf.Tensor, window: Window, image_shape: ImageShape) -> tf.Tensor:
    """A window of each decoded image, [n, any, any, channels] uint8 -> [n, height, width, channels] uint8."""
    height, width, _ = image_shape
    return map_images(
        lambda i: resize(_part(images[i], window(i, *size_of(images))), height, width), images, image_shape
    )


def map_images(function: Callable[[tf.Tensor], tf.Tensor], elements: tf.Tensor, image_shape: ImageShape) -> tf.Tensor:
    """`function` of the number of each of n elements, which is an image: [n, height, width, channels] uint8."""
    signature = tf.TensorSpec(image_shape, tf.uint8)
    images = tf.map_fn(function, tf.range(tf.shape(elements)[0]), fn_output_signature=signature, parallel_iterations=16)
    return tf.ensure_shape(images, [elements.shape[0], *image_shape])


def fit(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The largest part of the asked-for aspect around the middle, resized.

    One image or a batch, [..., any, any, channels] uint8 -> [..., height, width, channels] uint8.
    """
    return resize(_part(images, _middle(*size_of(images), height, width)), height, width)


def size_of(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width of one image or of a batch."""
    shape = tf.shape(images)
    return shape[-3], shape[-2]


def _middle(found_height: tf.Tensor, found_width: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The window of the aspect height : width around the middle, as large as fits."""
    part_height = tf.maximum(1, tf.minimum(found_height, found_width * height // width))
    part_width = tf.maximum(1, tf.minimum(found_width, found_height * width // height))
    return tf.stack([(found_height - part_height) // 2, (found_width - part_width) // 2, part_height, part_width])


def _part(images: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    top, left, height, width = tf.unstack(window)
    return images[..., top : top + height, left : left + width, :]


def resize(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """One image or a batch, [..., any, any, channels] uint8 -> [..., height, width, channels] uint8.

    Bilinear, antialiased where it becomes smaller, rounded to the nearest level; its aspect is not kept.
    """
    found_height, found_width = size_of(images)
    resized = tf.cond(
        (found_height > height) | (found_width > width),
        lambda: tf.image.resize(images, [height, width], antialias=True),
        lambda: tf.image.resize(images, [height, width]),  # the same, in a third of the time
    )
    return tf.cast(resized + 0.5, tf.uint8)
