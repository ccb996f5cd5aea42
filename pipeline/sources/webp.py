"""WebP files: their headers, and their pixels inside TensorFlow's graph (RFC 9649, sections 2.3 to 2.7)."""

import struct

import tensorflow as tf

from pipeline.sources.traced import refused

HEADER = 30  # bytes that say the kind of the picture and its size
_KIND, _FLAGS = 12, 20  # where the name of the first chunk stands, and the flags of one that is called VP8X
_EXTENDED, _LOSSY, _LOSSLESS = b"VP8X", b"VP8 ", b"VP8L"
_ANIMATED = 0x02  # a flag
_LOSSY_MARK, _LOSSLESS_MARK = b"\x9d\x01\x2a", b"\x2f"  # before the size of a picture


def begins(start: bytes) -> bool:
    """Whether a file that begins with these bytes, 12 at least, is a WebP file."""
    return start.startswith(b"RIFF") and start[8:12] == b"WEBP"


def fault_of(header: bytes, size: int) -> str:
    """The fault that the first bytes of a file of `size` bytes show, to follow its path; "" for none."""
    if len(header) < HEADER or size < 8 + struct.unpack_from("<I", header, 4)[0]:
        return "was cut off: it has no end of its image"
    if header[_KIND:].startswith(_EXTENDED) and header[_FLAGS] & _ANIMATED:
        return "is an animated WebP file: only still ones are read"
    return ""


def size_of(header: bytes) -> tuple[int, int]:
    """Height and width of the picture as it is stored. Raises struct.error for a header that has none."""
    kind = header[_KIND : _KIND + 4]
    if kind == _EXTENDED:
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", header, 24)
        return (low_height | high_height << 16) + 1, (low_width | high_width << 16) + 1
    if kind == _LOSSLESS and header[20:21] == _LOSSLESS_MARK:
        [bits] = struct.unpack_from("<I", header, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == _LOSSY and header[23:26] == _LOSSY_MARK:
        width, height = struct.unpack_from("<HH", header, 26)
        return height & 0x3FFF, width & 0x3FFF
    raise struct.error("no size")


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """The bytes of a WebP file, a scalar string -> [height, width, 3, or 4 with an alpha channel] uint8.

    Raises tf.errors.InvalidArgumentError for an animated file, by which TensorFlow 2.21 overwrites memory.
    """
    header = tf.io.decode_raw(encoded, tf.uint8, fixed_length=HEADER)
    extended = tf.reduce_all(header[_KIND : _KIND + 4] == tf.constant(tuple(_EXTENDED), tf.uint8))
    animated = extended & (tf.bitwise.bitwise_and(header[_FLAGS], _ANIMATED) > 0)
    still = tf.cond(animated, lambda: refused("animated WebP file"), lambda: encoded)
    return tf.ensure_shape(tf.io.decode_image(still, channels=0, expand_animations=False), [None, None, None])
