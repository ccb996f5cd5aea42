"""Properties of an image file that need no decoding: its kind, cut off or whole, its size."""

import io
import itertools
import os
import stat
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

import tensorflow as tf

from pipeline.errors import BadDataError, UsageError
from pipeline.sources import bitmaps, listing, webp
from pipeline.sources.orientation import orientation, upright_size
from pipeline.storage.reading import open_regular
from pipeline.text.flag_values import ImageSize

# The first and last bytes of files of each kind (ISO/IEC 15948, section 5; ITU-T T.81, annex B; GIF89a, section 27).
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xae\x42\x60\x82"
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_GIF, _GIF_END = b"GIF8", b";"
_BMP, _HEADER = b"BM", 54  # the bytes of a BMP file's two headers, at least; those of a WebP file are fewer
_MARKS = {"PNG": _PNG, "JPEG": _JPEG, "GIF": _GIF, "BMP": _BMP}
_ENDS = {"PNG": _PNG_END, "JPEG": _JPEG_END, "GIF": _GIF_END}
_START = 12  # bytes that say the kind of a file
_KIND_OF_SUFFIX = {"PNG": "PNG", "JPEG": "JPEG", "JPG": "JPEG", "GIF": "GIF", "BMP": "BMP", "WEBP": "WebP"}
KINDS = "PNG, JPEG, WebP, BMP or GIF"
_PNG_BITS = 24  # the place of the byte that says how many a channel has
_PNG_GREY = (0, 4)  # the colour types without and with transparency
_START_OF_SCAN, _FILL = 0xDA, 0xFF
ImageShape = tuple[int, int, int]  # height, width, channels
_BLOCK = 64  # files that a thread looks at in one go


class Look(NamedTuple):
    """The result of a look at a file."""

    size: int  # bytes
    fault: str = ""  # why it cannot be used, to follow its path in a sentence
    kind: str = ""  # one of KINDS, by its first bytes; "" if it was not opened


def looks(paths: Sequence[str], opened: int) -> list[Look]:
    """A look at each file; the first `opened` are opened, of others only the size is asked for.

    Reads no more than the ends of a file, where those are as they should be. Damage inside is left for decoding.
    """
    ways = [(look, paths[:opened]), (_look_from_outside, paths[opened:])]
    blocks = [(way, some[i : i + _BLOCK]) for way, some in ways for i in range(0, len(some), _BLOCK)]
    with ThreadPoolExecutor(16) as threads:
        return list(itertools.chain(*threads.map(lambda block: [block[0](path) for path in block[1]], blocks)))


def refusal(faults: Sequence[str], remedy: str, at_least: bool = False, kind: str = "file") -> BadDataError:
    """The error that names files that cannot be used, the first of them if there are many.

    faults: each begins with a path. remedy: what to do with "it" or "them". at_least: whether there may be more.
    """
    if len(faults) == 1 and not at_least:
        return BadDataError(f"{faults[0]}; {remedy} it")
    number = f"{'at least ' if at_least else ''}{listing.count(len(faults), kind)}"
    return BadDataError(f"{number} cannot be used: {listing.some(faults)}; {remedy} {listing.them(len(faults))}")


def look(path: str) -> Look:
    """The size of an image file, and the fault that its first and last bytes show."""
    try:
        with open_regular(Path(path)) as file:
            start = file.read(_START)
            size = file.seek(0, os.SEEK_END)
            return Look(size, _fault(file, start, size), _kind_of(start))
    except OSError as error:
        return Look(0, f"cannot be read ({error.strerror})")


def fault_of(content: bytes) -> str:
    """The fault that the first and last bytes of an image file's content show; "" for none."""
    return _fault(io.BytesIO(content), content[:_START], len(content))


def _kind_of(start: bytes) -> str:
    """The kind of a file that begins with these bytes; "" for none that is read."""
    return "WebP" if webp.begins(start) else next((kind for kind, mark in _MARKS.items() if start.startswith(mark)), "")


def _fault(file: IO[bytes], start: bytes, size: int) -> str:
    """The fault of a file of `size` bytes that begins with `start`."""
    kind = _kind_of(start)
    if not kind:
        return f"begins with {start[: len(_PNG)].hex(' ') or 'nothing'}: it is no {KINDS}"
    if kind in _ENDS:
        return "" if _is_whole(file, size, _ENDS[kind]) else "was cut off: it has no end of its image"
    file.seek(0)
    header = file.read(_HEADER)
    return webp.fault_of(header, size) if kind == "WebP" else _fault_of_bmp(header, size)


def _fault_of_bmp(header: bytes, size: int) -> str:
    if len(header) < _HEADER:
        return "was cut off: it has no whole header"
    pixels, (width, height), (bits, compression) = (
        struct.unpack_from(form, header, place)
        for form, place in (("<I", bitmaps.PIXELS), ("<ii", bitmaps.SIZE), ("<HI", bitmaps.BITS))
    )
    if bits not in bitmaps.BMP_BITS or compression not in bitmaps.BMP_PLAIN:
        return f"is a BMP file of {bits} bits a pixel and compression {compression}: 8, 24 or 32 and none are read"
    whole = pixels[0] + abs(height) * (-(-width * bits // 32) * 4)
    return "" if size >= whole else "was cut off: it has no end of its image"


def kind_of_name(path: str) -> str:
    """The kind of KINDS that the suffix of a file says; "" for other suffixes."""
    return _KIND_OF_SUFFIX.get(os.path.splitext(path)[1].removeprefix(".").upper(), "")


def _look_from_outside(path: str) -> Look:
    try:
        status = os.stat(path)
        return Look(status.st_size, "" if stat.S_ISREG(status.st_mode) else "is no regular file")
    except OSError as error:
        return Look(0, f"cannot be read ({error.strerror})")


def shape(path: str) -> ImageShape:
    """The `shape_of` a file. Raises BadDataError."""
    try:
        with open(path, "rb") as file:
            return shape_of(file.read(), listing.printable(path))
    except OSError as error:
        raise refusal([f"{listing.printable(path)} cannot be read ({error.strerror})"], "replace or remove") from None


def shape_of(content: bytes, name: str) -> ImageShape:
    """Height, width and channels (1 or 3) of the upright picture, from its file's header alone. Raises BadDataError.

    name: where the file lies, for the message.
    """
    try:
        if content.startswith(_PNG):
            width, height, _, kind = struct.unpack(">IIBB", content[16:26])
            channels = 1 if kind in _PNG_GREY else 3
        elif content.startswith(_GIF):
            (width, height), channels = struct.unpack("<HH", content[6:10]), 3
        elif content.startswith(_BMP):
            width, height, channels = *map(abs, struct.unpack_from("<ii", content, bitmaps.SIZE)), 3
        elif webp.begins(content[:_START]):
            height, width, channels = *webp.size_of(content[: webp.HEADER]), 3
        else:
            height, width, channels = tf.image.extract_jpeg_shape(content).numpy().tolist()
        height, width = map(int, upright_size(height, width, orientation(tf.constant(content))))
        return height, width, 1 if channels == 1 else 3
    except (struct.error, tf.errors.InvalidArgumentError):
        raise refusal([f"{name} has no header that can be read"], "replace or remove") from None


def shapes_of(names: Sequence[str], shape: Callable[[int], ImageShape], examine: bool) -> list[tuple[str, ImageShape]]:
    """The shapes of pictures, each beside where it lies, for `common_shape`.

    shape: of the picture of that number. Where it raises BadDataError, that is raised; without `examine`, the picture
    is left out.
    """
    found = []
    for number, name in enumerate(names):
        try:
            found.append((name, shape(number)))
        except BadDataError:
            if examine:
                raise
    return found or [("", (1, 1, 3))]


def common_shape(shapes: Sequence[tuple[str, ImageShape]], size: ImageSize) -> ImageShape:
    """The shape of all images, of their own size for (0, 0); grey where these first ones are, else colour.

    shapes: where each lies, and its own. Raises UsageError where they differ in size and none is asked for.
    """
    first, (height, width, _) = shapes[0]
    for name, found in shapes:
        if not size.height and found[:2] != (height, width):
            raise UsageError(
                f"{name} is {found[0]} x {found[1]} and {first} {height} x {width}; give the size that all are "
                "cropped and resized to, as --image_size=32"
            )
    colour = any(channels > 2 for _, (_, _, channels) in shapes)
    return size.height or height, size.width or width, 3 if colour else 1


def largest_of_16_bits(path: str) -> int | None:
    """The largest value in a PNG file of 16 bits a channel; None for every other file, or one that cannot be read."""
    try:
        with open(path, "rb") as file:
            header = file.read(_PNG_BITS + 1)
            if not header.startswith(_PNG) or header[_PNG_BITS:] != b"\x10":
                return None
            content = header + file.read()
        values = tf.io.decode_png(content, dtype=tf.uint16).numpy()
    except (OSError, tf.errors.OpError):
        return None
    return int(values[..., : values.shape[-1] - (values.shape[-1] + 1) % 2].max())  # without its alpha channel


def _is_whole(file: IO[bytes], size: int, end: bytes) -> bool:
    """Whether the end mark is there; some programs write more behind it."""
    file.seek(max(0, size - len(end)))
    if file.read() == end:
        return True
    file.seek(0)
    content = file.read()
    if end == _GIF_END:
        return content.rstrip(b"\0").endswith(end)
    return end in (content if end == _PNG_END else _pixels(content))


def _pixels(jpeg: bytes) -> bytes:
    """The bytes behind the first header of a scan. A header before may hold a small picture with an end mark."""
    place = 2
    while jpeg[place : place + 1] == b"\xff" and place + 4 <= len(jpeg):
        marker = jpeg[place + 1]
        length = 0 if marker == _FILL else 1 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
        place += 1 + length
        if marker == _START_OF_SCAN:
            return jpeg[place:]
    return b""
