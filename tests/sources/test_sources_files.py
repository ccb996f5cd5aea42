"""Image files told from others, and whole ones from such as were cut off, without decoding them."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.errors import BadDataError
from pipeline.sources import files

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8))


def encoded(kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, kind, **options)
    return buffer.getvalue()


def with_thumbnail() -> bytes:
    """A JPEG with a small one, end mark and all, in an application's segment, and fill bytes before the next marker."""
    content, small = encoded("JPEG"), encoded("JPEG", quality=10)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(small)) + small + b"\xff\xff" + content[2:]


def with_end_marks_inside() -> bytes:
    """The largest picture of noise that is quick to make: its pixels would look like marks if they were not escaped."""
    noise = np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=100)
    return buffer.getvalue()


WHOLE = {
    "png": encoded("PNG"),
    "jpeg": encoded("JPEG"),
    "progressive jpeg": encoded("JPEG", progressive=True),
    "jpeg with a thumbnail": with_thumbnail(),
    "large jpeg": with_end_marks_inside(),
}


def fault(path) -> str:
    """What a look at the file says is wrong with it."""
    return files.look(str(path)).fault


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("more", [b"", b"\0", b"\0" * 3000, b"\xff\xd8 more"])
def test_a_whole_file_passes_whatever_follows_its_end(kind, more, tmp_path):
    content = WHOLE[kind] + more
    assert tf.io.decode_image(content).shape[2] == 3  # TensorFlow thinks so too
    path = tmp_path / "image"
    path.write_bytes(content)
    assert files.look(str(path))[:2] == (len(content), "")


@pytest.mark.parametrize("kind", WHOLE)
def test_wherever_it_was_cut_off_it_is_refused(kind, tmp_path):
    path = tmp_path / "image"
    step = max(1, len(WHOLE[kind]) // 2000)
    for length in [*range(8, len(WHOLE[kind]) - 8, step), *range(len(WHOLE[kind]) - 8, len(WHOLE[kind]))]:
        content = WHOLE[kind][:length]
        path.write_bytes(content)
        if not content.endswith(b"\xff\xd9"):  # right behind the thumbnail: left for decoding to find
            assert files.look(str(path))[:2] == (length, "was cut off: it has no end of its image")


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"", "nothing"),
        (encoded("TIFF"), "49 49 2a 00"),
        (b"RIFF\x04\0\0\0WAVEfmt ", "52 49 46 46"),
        (encoded("PNG")[:7], "89 50 4e 47"),
        (b"<html>", "3c 68 74 6d"),
    ],
)
def test_what_is_of_another_kind_is_refused_whatever_its_name(content, start, tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    assert fault(path).startswith(f"begins with {start}") and fault(path).endswith(
        ": it is no PNG, JPEG, WebP, BMP or GIF"
    )


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", mode) for mode in ("RGB", "L", "1", "P", "LA", "RGBA")),
        *(("JPEG", mode) for mode in ("RGB", "L", "1", "CMYK")),
    ],
)
def test_sizes_and_colours_are_those_that_decoding_finds(kind, mode, tmp_path):
    path = tmp_path / "image"
    PICTURE.convert(mode).save(path, kind)
    height, width, channels = tf.io.decode_image(path.read_bytes()).shape
    assert files.shape(str(path)) == (height, width, 1 if channels <= 2 else 3)


def test_a_header_without_a_size_is_refused(tmp_path):
    path = tmp_path / "image"
    for content in (encoded("PNG")[:20], encoded("JPEG")[:10]):
        path.write_bytes(content)
        with pytest.raises(BadDataError, match=f"^{path} has no header that can be read; replace or remove it"):
            files.shape(str(path))


def test_what_cannot_be_read_is_refused(tmp_path):
    assert fault(tmp_path / "missing.png") == "cannot be read (No such file or directory)"
