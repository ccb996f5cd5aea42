"""Which way up a picture is: the EXIF orientation that cameras write into its file, read inside TensorFlow's graph.

Numbers 1 to 8 and their meaning are those of the tag Orientation (CIPA DC-008, Exif 2.32, section 4.6.4). 1 means
that the stored picture is upright, as is every picture without the tag.
"""

import tensorflow as tf

from pipeline.sources.traced import not_inlined

SEARCHED = 2**13  # bytes at the start of a file in which EXIF data must begin, to be seen
HEAD = 2**16  # bytes at the start of a file in which the tag must lie
_TAG, _SHORT, _ENTRY = 0x0112, 3, 12  # of an EXIF directory: the tag, its type, and the bytes of an entry
_MOST_ENTRIES = 512
_JPEG_EXIF, _PNG_EXIF = (0xFF, 0xE1), tuple(b"eXIf")
_START_OF_SCAN, _FILL = 0xDA, 0xFF
# A WebP file says by a flag whether it has EXIF data, which stand behind its pixels (RFC 9649, section 2.7).
_SAYS_EXIF = r"RIFF\C{4}WEBPVP8X\C{4}[\x08-\x0f\x18-\x1f\x28-\x2f\x38-\x3f]\C*"
# Most files hold neither name, and this search is all that they cost.
_MENTIONS_EXIF = rf"\C*(?:Exif\x00\x00|eXIf)\C*|{_SAYS_EXIF}"


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The bytes of one image file, a scalar string -> its EXIF orientation, 1 to 8, int32.

    1 where a file has no such tag, or one that breaks the standard. In a JPEG or PNG file it stands in the first bytes.
    """
    return tf.cond(_mentions_exif(encoded), lambda: _of_head(encoded), lambda: tf.constant(1))


def upright(image: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    """A stored picture, [height, width, channels], as its file's EXIF orientation says that it is to be seen."""
    return tf.cond(_mentions_exif(encoded), lambda: _turned(image, _of_head(encoded)), lambda: image)


def upright_size(height: tf.Tensor, width: tf.Tensor, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width of a picture as it is to be seen, of those as it is stored; and the other way round."""
    turned = _is_turned(number)
    return tf.where(turned, width, height), tf.where(turned, height, width)


def stored_window(window: tf.Tensor, height: tf.Tensor, width: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """The part of the stored picture that a window of the upright one, of height x width, shows.

    Both windows are top, left, height, width, [4] int32.
    """
    top, left, rows, columns = tf.unstack(window)
    top = tf.where(_is_upside_down(number), height - top - rows, top)
    left = tf.where(_is_mirrored(number), width - left - columns, left)
    turned = tf.stack([left, top, columns, rows])
    return tf.where(_is_turned(number), turned, tf.stack([top, left, rows, columns]))


# Upright is made of stored in this order: rows become columns, left becomes right, top becomes bottom.
def _is_turned(number: tf.Tensor) -> tf.Tensor:
    return number >= 5


def _is_mirrored(number: tf.Tensor) -> tf.Tensor:
    return (number == 2) | (number == 3) | (number == 6) | (number == 7)


def _is_upside_down(number: tf.Tensor) -> tf.Tensor:
    return (number == 3) | (number == 4) | (number == 7) | (number == 8)


@not_inlined
def _turned(image: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    seen = tf.cond(_is_turned(number), lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    seen = tf.cond(_is_mirrored(number), lambda: tf.reverse(seen, [1]), lambda: seen)
    return tf.cond(_is_upside_down(number), lambda: tf.reverse(seen, [0]), lambda: seen)


def _mentions_exif(encoded: tf.Tensor) -> tf.Tensor:
    return tf.strings.regex_full_match(tf.strings.substr(encoded, 0, SEARCHED), _MENTIONS_EXIF)


@not_inlined(input_signature=[tf.TensorSpec([], tf.string)])
def _of_head(encoded: tf.Tensor) -> tf.Tensor:
    """The orientation in the first bytes of a file, or in the chunk of a WebP file that has it."""
    content = _head(encoded)

    def elsewhere() -> tf.Tensor:
        place = tf.cond(_equal(content, 0, b"\x89PNG"), lambda: _png_exif(content), lambda: _jpeg_exif(content))
        return tf.cond(place > 0, lambda: _of_directory(content, place), lambda: tf.constant(1))

    is_webp = _equal(content, 0, b"RIFF") & _equal(content, 8, b"WEBP")
    return tf.cond(is_webp, lambda: _of_webp(encoded), elsewhere)


def _head(content: tf.Tensor) -> tf.Tensor:
    """The first bytes, [HEAD] uint8; zeros follow the last."""
    return tf.io.decode_raw(content, tf.uint8, fixed_length=HEAD)


def _of_webp(encoded: tf.Tensor) -> tf.Tensor:
    """The orientation in a WebP file's chunk EXIF, which some programs begin as in a JPEG file."""
    size = tf.strings.length(encoded)

    def is_exif(place: tf.Tensor) -> tf.Tensor:
        return tf.strings.substr(encoded, tf.minimum(place, size), 4) == b"EXIF"

    def following(place: tf.Tensor) -> tf.Tensor:
        header = tf.io.decode_raw(tf.strings.substr(encoded, place, 8), tf.uint8, fixed_length=8)
        length = tf.minimum(_number(header, tf.constant(4), 4, True), tf.cast(size, tf.int64))
        return place + 8 + tf.cast(length + length % 2, tf.int32)

    [place] = tf.while_loop(lambda at: (at < size) & ~is_exif(at), lambda at: [following(at)], [tf.constant(12)])
    content = _head(tf.strings.substr(encoded, tf.minimum(place + 8, size), HEAD))
    start = tf.where(_equal(content, 0, b"Exif\0\0"), tf.constant(6, tf.int64), 0)
    return _of_directory(content, start)


def _jpeg_exif(content: tf.Tensor) -> tf.Tensor:
    """The place of the EXIF data in a JPEG file, behind its segments' headers (ITU-T T.81, annex B); 0 for none."""

    def is_exif(place: tf.Tensor) -> tf.Tensor:
        return _equal(content, place, _JPEG_EXIF) & _equal(content, place + 4, b"Exif\0\0")

    def goes_on(place: tf.Tensor) -> tf.Tensor:
        is_segment = _equal(content, place, (0xFF,)) & ~_equal(content, place + 1, (_START_OF_SCAN,))
        return (place < HEAD) & is_segment & ~is_exif(place)

    def following(place: tf.Tensor) -> tf.Tensor:
        is_fill = _equal(content, place + 1, (_FILL,))
        return place + tf.where(is_fill, tf.constant(1, tf.int64), 2 + _number(content, place + 2, 2))

    place = tf.while_loop(goes_on, lambda place: [following(place)], [tf.constant(2, tf.int64)])[0]
    return tf.where(is_exif(place), place + 10, 0)


def _png_exif(content: tf.Tensor) -> tf.Tensor:
    """The place of the EXIF data in a PNG file, in a chunk of its own (ISO/IEC 15948, section 5.3); 0 for none."""

    def is_exif(place: tf.Tensor) -> tf.Tensor:
        return _equal(content, place + 4, _PNG_EXIF)

    def following(place: tf.Tensor) -> tf.Tensor:
        return place + 12 + _number(content, place, 4)

    start = tf.constant(8, tf.int64)
    place = tf.while_loop(lambda at: (at < HEAD) & ~is_exif(at), lambda at: [following(at)], [start])[0]
    return tf.where(is_exif(place), place + 8, 0)


def _of_directory(content: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """The orientation in EXIF data, a TIFF file whose first directory has the tag (TIFF 6.0, section 2)."""
    little = _equal(content, start, b"II*\0")
    directory = start + _number(content, start + 4, 4, little)
    count = tf.minimum(_number(content, directory, 2, little), _MOST_ENTRIES)
    entries = directory + 2 + _ENTRY * tf.range(count)
    tags, kinds, values = (_number(content, entries + offset, 2, little) for offset in (0, 2, 8))
    fits = (tags == _TAG) & (kinds == _SHORT) & (values >= 1) & (values <= 8)
    fits &= little | _equal(content, start, b"MM\0*")
    found = tf.boolean_mask(values, fits)
    return tf.cast(tf.concat([found, tf.constant([1], tf.int64)], 0)[0], tf.int32)


def _bytes(content: tf.Tensor, place: tf.Tensor, count: int) -> tf.Tensor:
    """Bytes from a place on, or from each of several: [..., count] int64. Behind the end stands the last byte."""
    places = tf.cast(place, tf.int64)[..., None] + tf.range(count, dtype=tf.int64)
    return tf.cast(tf.gather(content, tf.minimum(places, content.shape[0] - 1)), tf.int64)


def _equal(content: tf.Tensor, place: tf.Tensor | int, expected: tuple[int, ...] | bytes) -> tf.Tensor:
    """Whether these bytes stand at that place."""
    return tf.reduce_all(_bytes(content, place, len(expected)) == tf.constant(tuple(expected), tf.int64))


def _number(content: tf.Tensor, place: tf.Tensor, count: int, little: tf.Tensor | bool = False) -> tf.Tensor:
    """The numbers of `count` bytes at the places: int64, of their shape."""
    found = _bytes(content, place, count)
    weights = tf.constant([256**power for power in range(count)], tf.int64)
    return tf.reduce_sum(found * tf.where(little, weights, weights[::-1]), -1)
