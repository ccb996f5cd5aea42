"""What an image file tells without being decoded: whether it is a PNG or JPEG file, if its end is there, its size."""

import os
import struct
from typing import BinaryIO

import tensorflow as tf

from pipeline.errors import BadDataError

SUFFIXES = (".png", ".jpg", ".jpeg")
# What files of the two kinds begin and end with (ISO/IEC 15948, section 5; ITU-T T.81, annex B).
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xae\x42\x60\x82"
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_PNG_GREY = (0, 4)  # the colour types without and with transparency
_START_OF_SCAN, _FILL = 0xDA, 0xFF


def check(path: str) -> None:
    """Raises BadDataError for a file that cannot be read, is of another kind whatever its name, or was cut off.

    Reads no more than its ends, where those are as they should be. What is damaged inside, only decoding can tell.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(len(_PNG))
            if not start.startswith((_PNG, _JPEG)):
                raise BadDataError(
                    f"{path} begins with {start.hex(' ') or 'nothing'}: it is no PNG or JPEG; replace or remove it"
                )
            if not _is_whole(file, _PNG_END if start == _PNG else _JPEG_END):
                raise BadDataError(f"{path} was cut off: it has no end of its image; replace or remove it")
    except OSError as error:
        raise BadDataError(f"{path} cannot be read ({error.strerror}); make it readable or remove it") from None


def shape(path: str) -> tuple[int, int, int]:
    """Height, width and channels (1 or 3), from the header alone. Raises BadDataError."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        if content.startswith(_PNG):
            width, height, _, kind = struct.unpack(">IIBB", content[16:26])
            return height, width, 1 if kind in _PNG_GREY else 3
        height, width, channels = tf.image.extract_jpeg_shape(content).numpy().tolist()
        return height, width, 1 if channels == 1 else 3
    except OSError as error:
        raise BadDataError(f"{path} cannot be read ({error.strerror}); make it readable or remove it") from None
    except (struct.error, tf.errors.InvalidArgumentError):
        raise BadDataError(f"{path} has no header that can be read; replace or remove it") from None


def _is_whole(file: BinaryIO, end: bytes) -> bool:
    """Whether the end mark is there; some programs write more behind it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(end)))
    if file.read() == end:
        return True
    file.seek(0)
    content = file.read()
    return end in (content if end == _PNG_END else _pixels(content))


def _pixels(jpeg: bytes) -> bytes:
    """What follows the first header of a scan. Headers before may hold a small picture with an end mark of its own."""
    place = 2
    while jpeg[place : place + 1] == b"\xff" and place + 4 <= len(jpeg):
        marker = jpeg[place + 1]
        length = 0 if marker == _FILL else 1 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
        place += 1 + length
        if marker == _START_OF_SCAN:
            return jpeg[place:]
    return b""
