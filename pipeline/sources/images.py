"""PNG, JPEG, WebP, BMP and GIF files to pixels, and pictures of any size to a model's, inside TensorFlow's graph."""

from collections.abc import Callable

import tensorflow as tf

from pipeline.sources import bitmaps, webp
from pipeline.sources.orientation import orientation, stored_window, upright, upright_size
from pipeline.sources.traced import not_inlined

ImageShape = tuple[int, int, int]  # height, width, channels

# A PNG file's first bytes, and the byte behind them that says which colours follow (ISO/IEC 15948, section 11.2.2).
_PNG_SIGNATURE, _PNG_COLOUR_TYPE = tuple(b"\x89PNG\r\n\x1a\n"), 25
_BMP_SIGNATURE, _GIF_SIGNATURE = tuple(b"BM"), tuple(b"GIF8")
_RIFF_SIGNATURE, _WEBP_SIGNATURE, _WEBP_PLACE = tuple(b"RIFF"), tuple(b"WEBP"), 8
_MAY_BE_TRANSPARENT = (3, 4, 6)  # a palette, grey with alpha, colour with alpha

# (number in the batch, height, width of its picture) -> the part to take: top, left, height, width, [4] int32
Window = Callable[[tf.Tensor | int, tf.Tensor, tf.Tensor], tf.Tensor]


def decode(
    encoded: tf.Tensor, image_shape: ImageShape, window: Window | None = None, number: tf.Tensor | int = 0
) -> tf.Tensor:
    """The bytes of one image file, a scalar string -> [height, width, channels] uint8.

    Colours become grey, or grey three equal colours, as `image_shape` says; transparent parts show white; a picture of
    another size is made to `fit`, or its window, of that number, is resized.
    Raises tf.errors.InvalidArgumentError for bytes that are no whole image.
    """
    if window is not None:
        return _decode_window(encoded, image_shape, window, number)
    height, width, channels = image_shape
    image = pixels(encoded, channels)
    fits = tf.reduce_all(tf.shape(image) == image_shape)
    return tf.ensure_shape(tf.cond(fits, lambda: image, lambda: fit(image, height, width)), image_shape)


def pixels(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """The bytes of one image file, a scalar string -> [its height, its width, channels] uint8, upright.

    Of a GIF file, the first frame. A PNG or WebP file with an alpha channel, or a PNG file with transparent colours in
    its palette, is shown on white. Of 16 bits a channel, the upper 8 are taken.
    """
    return upright(_stored(encoded, channels), encoded)


def _stored(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """The pixels as they lie in the file, whichever way up."""
    header = tf.io.decode_raw(encoded, tf.uint8, fixed_length=_PNG_COLOUR_TYPE + 1)

    def begins(signature: tuple[int, ...], place: int = 0) -> tf.Tensor:
        return tf.reduce_all(header[place : place + len(signature)] == tf.constant(signature, tf.uint8))

    may_be = tf.reduce_any(header[_PNG_COLOUR_TYPE] == tf.constant(_MAY_BE_TRANSPARENT, tf.uint8))
    is_webp = begins(_RIFF_SIGNATURE) & begins(_WEBP_SIGNATURE, _WEBP_PLACE)
    kinds = [begins(_PNG_SIGNATURE) & may_be, begins(_BMP_SIGNATURE), begins(_GIF_SIGNATURE), is_webp]
    ways = [
        lambda: tf.io.decode_image(encoded, channels=channels, expand_animations=False),
        lambda: _on_white(encoded, channels),
        lambda: bitmaps.decode_bmp(encoded, channels),
        lambda: bitmaps.decode_gif(encoded, channels),
        lambda: _webp_on_white(encoded, channels),
    ]
    return tf.switch_case(tf.reduce_sum(tf.cast(kinds, tf.int32) * tf.constant([1, 2, 3, 4])), ways)


@not_inlined
def _webp_on_white(content: tf.Tensor, channels: int) -> tf.Tensor:
    """A still WebP file of any kind, laid on white."""
    colours, alpha = _with_alpha(webp.decode(content))
    return _laid_on_white(tf.image.rgb_to_grayscale(colours) if channels == 1 else colours, alpha, channels)


@not_inlined
def _on_white(png: tf.Tensor, channels: int) -> tf.Tensor:
    """A PNG file of any kind, laid on white; where it is opaque, the pixels are those of `tf.io.decode_image`."""
    # As it is stored: with an alpha channel only where there is one. Asked for one that is not there, TensorFlow 2.21
    # makes up another than 255 for palettes of fewer than 8 bits.
    colours, alpha = _with_alpha(tf.io.decode_png(png, channels=0))
    if channels == 1:
        colours = tf.cond(tf.shape(colours)[-1] == 1, lambda: colours, lambda: tf.io.decode_png(png, channels=1))
    return _laid_on_white(colours, alpha, channels)


def _with_alpha(stored: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The 1 or 3 colours of a picture of 1 to 4 channels, and its alpha channel, 255 where it has none."""
    num_colours = (tf.shape(stored)[-1] - 1) // 2 * 2 + 1
    alpha = tf.concat([stored[..., num_colours:], tf.fill(tf.shape(stored[..., :1]), tf.constant(255, tf.uint8))], -1)
    return stored[..., :num_colours], alpha[..., :1]


def _laid_on_white(colours: tf.Tensor, alpha: tf.Tensor, channels: int) -> tf.Tensor:
    colours, alpha = tf.cast(colours, tf.int32), tf.cast(alpha, tf.int32)
    shown = tf.cast((colours * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)
    return tf.broadcast_to(shown, [*tf.unstack(tf.shape(shown)[:2]), channels])


def decode_batch(
    raw: tf.Tensor,
    image_shape: ImageShape,
    window: Window | None = None,
    read: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> tf.Tensor:
    """Decodes n image files, [n] strings -> [n, height, width, channels] uint8: each whole, or a window of it.

    read: makes one of the strings, [], the bytes of its file.
    """
    return map_images(lambda i: decode(read(raw[i]), image_shape, window, i), raw, image_shape)


def _decode_window(encoded: tf.Tensor, image_shape: ImageShape, window: Window, i: tf.Tensor | int) -> tf.Tensor:
    height, width, channels = image_shape

    def jpeg() -> tf.Tensor:  # the rows outside the window are skipped
        stored, number = tf.image.extract_jpeg_shape(encoded), orientation(encoded)
        size = upright_size(stored[0], stored[1], number)
        part = stored_window(window(i, *size), *size, number)
        return upright(tf.image.decode_and_crop_jpeg(encoded, part, channels=channels), encoded)

    def other() -> tf.Tensor:
        image = pixels(encoded, channels)
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


def middle(share: float, image_shape: ImageShape) -> Window | None:
    """The window that evaluation takes: this share of the height and width of the part that `fit` takes; None for 1.

    It is the part that resizing to 1 / share of the size, then cropping to the size, would keep.
    """

    def side(most: tf.Tensor) -> tf.Tensor:
        return tf.maximum(1, tf.cast(tf.round(tf.cast(most, tf.float64) * share), tf.int32))

    def of(_: tf.Tensor | int, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        top, left, rows, columns = tf.unstack(_middle(height, width, *image_shape[:2]))
        kept = side(rows), side(columns)
        return tf.stack([top + (rows - kept[0]) // 2, left + (columns - kept[1]) // 2, *kept])

    return None if share == 1 else of


def _part(images: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    top, left, height, width = tf.unstack(window)
    return images[..., top : top + height, left : left + width, :]


def resize(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """One image or a batch, [..., any, any, channels] uint8 -> [..., height, width, channels] uint8.

    Bilinear, antialiased where it becomes smaller, rounded to the nearest level. The aspect is not kept.
    """
    found_height, found_width = size_of(images)
    resized = tf.cond(
        (found_height > height) | (found_width > width),
        lambda: tf.image.resize(images, [height, width], antialias=True),
        lambda: tf.image.resize(images, [height, width]),  # equal where nothing becomes smaller, in a third of the time
    )
    return tf.cast(resized + 0.5, tf.uint8)
