"""Users' image files: read as a folder source would read them, or refused by name."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.errors import BadDataError
from pipeline.process import standard_error
from pipeline.serving import images
from pipeline.sources import images as encoded

GREY, COLOUR = (6, 5, 1), (6, 5, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
SHADES = PIXELS[..., :1]


def png(pixels: np.ndarray) -> bytes:
    return tf.io.encode_png(pixels).numpy()


def palette(pixels: np.ndarray) -> tuple[bytes, np.ndarray]:
    """A PNG of 8 colours, and the pixels that it shows."""
    picture = Image.fromarray(pixels).quantize(8)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue(), np.asarray(picture.convert("RGB"))


def write(path, content: bytes | np.ndarray) -> str:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    return str(path)


def read_all(paths, image_shape) -> tuple[list[str], np.ndarray]:
    """The names of all images, and those that can be read."""
    batch = images.Images(paths, image_shape)
    found = list(batch.dataset(np.arange(len(batch))))
    assert [index.numpy() for index, _ in found] == list(range(len(batch)))
    return batch.names, np.stack([image.numpy() for _, image in found])


def read(path, content, image_shape) -> np.ndarray:
    """The only image of a file."""
    _, batch = read_all([write(path, content)], image_shape)
    assert batch.shape == (1, *image_shape) and batch.dtype == np.uint8
    return batch[0]


def refusal(path, image_shape) -> str:
    """Why a file cannot be read."""
    batch = images.Images([str(path)], image_shape)
    assert len(batch) == 1 and list(batch.dataset(np.arange(1))) == []
    told = batch.refusal(0)
    assert isinstance(told, BadDataError) and "\n" not in str(told)
    return str(told)


WHOLE = {  # what is written; it shows PIXELS, or SHADES, as they are
    "colour": (PIXELS, COLOUR),
    "grey": (SHADES, GREY),
    "alpha": (np.dstack([PIXELS, np.full_like(SHADES, 255)]), COLOUR),
    "grey_with_alpha": (np.dstack([SHADES, np.full_like(SHADES, 255)]), GREY),
    "sixteen_bits": (SHADES.astype(np.uint16) * 257, GREY),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_every_kind_of_png(kind, tmp_path):
    written, image_shape = WHOLE[kind]
    shown = read(tmp_path / "image.png", png(written), image_shape)
    np.testing.assert_array_equal(shown, PIXELS[..., : image_shape[2]])


def test_what_is_transparent_is_white_for_the_model_and_for_people(tmp_path):
    drawn = np.dstack([np.zeros_like(PIXELS), 255 - SHADES])  # nothing is drawn but in the alpha channel
    np.testing.assert_array_equal(read(tmp_path / "image.png", png(drawn), COLOUR), np.repeat(SHADES, 3, axis=2))
    found = images.Images([str(tmp_path / "image.png")], GREY)
    np.testing.assert_array_equal(found.original(0), np.repeat(SHADES, 3, axis=2))


def test_a_palette_is_looked_up(tmp_path):
    content, shown = palette(PIXELS)
    np.testing.assert_array_equal(read(tmp_path / "image.png", content, COLOUR), shown)


def test_grey_becomes_three_equal_colours(tmp_path):
    np.testing.assert_array_equal(read(tmp_path / "image.png", png(SHADES), COLOUR), np.repeat(SHADES, 3, axis=2))


@pytest.mark.parametrize("encode", [tf.io.encode_png, tf.io.encode_jpeg])
@pytest.mark.parametrize("image_shape", [GREY, COLOUR, (9, 4, 1), (9, 4, 3)])
def test_a_file_is_read_as_a_folder_source_reads_it(encode, image_shape, tmp_path):
    content = encode(PIXELS).numpy()
    expected = encoded.decode(tf.constant(content), image_shape)
    np.testing.assert_array_equal(read(tmp_path / "image", content, image_shape), expected)


@pytest.mark.parametrize(
    "batch",
    [
        PIXELS[None],
        PIXELS[None] / 255,
        (PIXELS[None] / 255).astype(np.float32),
        (PIXELS[None] / 255).astype(np.float16),
        (PIXELS[None] / 255).astype(">f4"),
        np.asfortranarray(PIXELS[None]),
    ],
)
def test_batches_of_bytes_and_of_floats(batch, tmp_path):
    np.testing.assert_array_equal(read(tmp_path / "batch.npy", batch, COLOUR), PIXELS)


def test_a_batch_without_channels_is_grey(tmp_path):
    np.testing.assert_array_equal(read(tmp_path / "batch.npy", PIXELS[None, ..., 0], GREY), SHADES)


def test_a_batch_of_another_size_is_resized_as_a_picture_is(tmp_path):
    batch = read(tmp_path / "batch.npy", PIXELS[None], (9, 4, 3))
    np.testing.assert_array_equal(batch, read(tmp_path / "image.png", png(PIXELS), (9, 4, 3)))


def test_files_keep_their_order_and_batches_number_their_images(tmp_path):
    first = write(tmp_path / "one.png", png(SHADES))
    batch = write(tmp_path / "two.NPY.npy", np.stack([SHADES, 255 - SHADES]))
    names, read = read_all([batch, first], GREY)
    assert names == [f"{batch}[0]", f"{batch}[1]", first]
    np.testing.assert_array_equal(read, np.stack([SHADES, 255 - SHADES, SHADES]))


REFUSED = {
    "missing.png": (None, "No such file or directory; give the path of a PNG, JPEG or .npy file"),
    "empty.png": (b"", "is not an image that can be decoded; give a PNG, JPEG or .npy file"),
    "text.jpg": (b"hello", "is not an image that can be decoded"),
    "text.npy": (b"hello", "is not a whole .npy file (EOF: reading magic string"),
    "pickled.npy": (np.array([{}]), "is not a whole .npy file (Object arrays cannot be loaded"),
    "one.npy": (PIXELS[..., 0], "has shape [6, 5]; needed is [n, height, width] or [n, height, width, 1 or 3]"),
    "none.npy": (PIXELS[None][:0], "has shape [0, 6, 5, 3]; needed is"),
    "two_channels.npy": (PIXELS[None, ..., :2], "has shape [1, 6, 5, 2]; needed is"),
    "whole_numbers.npy": (PIXELS[None].astype(int), "is int64; needed are uint8, or floats in [0, 1]"),
    "negative.npy": (np.full((1, 6, 5), -0.5), "has floats from -0.5 to -0.5; needed are uint8, or floats in [0, 1]"),
    "unscaled.npy": (np.full((1, 6, 5), 255.0), "has floats from 255 to 255; needed are uint8, or floats in [0, 1]"),
    "not_a_number.npy": (np.full((1, 6, 5), np.nan), "has floats from nan to nan; needed are"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_by_name(name, tmp_path):
    content, line = REFUSED[name]
    path = tmp_path / name
    if isinstance(content, np.ndarray):
        np.save(path, content, allow_pickle=True)
    elif content is not None:
        path.write_bytes(content)
    told = refusal(path, GREY)
    assert told.startswith(str(path)) and line in told


@pytest.mark.parametrize("name", ["image.png", "image.jpg", "batch.npy"])
def test_a_file_that_was_cut_off_is_refused(name, tmp_path):
    large = np.tile(PIXELS, (9, 9, 1))
    whole = {"image.png": png(large), "image.jpg": tf.io.encode_jpeg(large).numpy(), "batch.npy": large[None]}[name]
    path = write(tmp_path / name, whole)
    assert read(tmp_path / name, whole, COLOUR).any()
    with open(path, "r+b") as file:
        file.truncate(len(file.read()) // 2)
    assert refusal(path, GREY).startswith(path)


@pytest.mark.parametrize("name", ["pipe.png", "pipe.npy", "zero.png"])
def test_what_would_never_end_is_not_opened(name, tmp_path):
    path = tmp_path / name
    path.symlink_to("/dev/zero") if name == "zero.png" else os.mkfifo(path)
    assert refusal(path, GREY) == f"{path} is not a regular file; give the path of a PNG, JPEG or .npy file"


def test_names_of_any_bytes_can_be_printed(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    with open(path, "wb") as file:
        file.write(png(SHADES))
    names, read = read_all([path], GREY)
    assert names == [f"{tmp_path}/\\xff.png"] and (read[0] == SHADES).all()
    assert refusal(path.replace("\udcff", "\udcfe"), GREY).startswith(f"{tmp_path}/\\xfe.png: No such file")


def test_a_directory_is_no_image(tmp_path):
    assert "Is a directory; give the path of a PNG" in refusal(tmp_path, GREY)


def test_any_of_the_images_can_be_asked_for_and_those_that_cannot_be_read_are_left_out(tmp_path):
    pictures = [write(tmp_path / f"{shade}.png", png(np.full((6, 5, 1), shade, np.uint8))) for shade in range(3)]
    first, batch = (
        write(tmp_path / name, np.stack([np.full((6, 5, 1), shade + i, np.uint8) for i in range(2)]))
        for name, shade in (("first.npy", 20), ("batch.npy", 10))
    )
    broken = [write(tmp_path / "broken.png", b"no image"), write(tmp_path / "broken.npy", b"no array")]
    found = images.Images([broken[0], *pictures, batch, broken[1], pictures[0], first], GREY)
    assert len(found) == len(found.names) == 10
    shown = [(int(index), int(image[0, 0, 0])) for index, image in found.dataset(np.array([6, 5, 3, 0, 9, 1, 7, 4]))]
    assert shown == [(5, 11), (3, 2), (9, 21), (1, 0), (7, 0), (4, 10)]
    assert "broken.png is not an image" in str(found.refusal(0))
    assert "broken.npy is not a whole .npy file" in str(found.refusal(6))
    assert "changed while it was read" in str(found.refusal(1))


def test_an_original_has_its_own_size_and_colours(tmp_path):
    found = images.Images([write(tmp_path / "a.png", png(PIXELS)), write(tmp_path / "b.npy", SHADES[None])], (3, 4, 1))
    np.testing.assert_array_equal(found.original(0), PIXELS)
    assert found.original(1).shape == (3, 4, 1)


def test_a_picture_that_is_damaged_inside_is_named(tmp_path):
    content = tf.io.encode_jpeg(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)).numpy()
    middle = len(content) // 2
    paths = [write(tmp_path / "whole.jpg", content)]
    paths.append(write(tmp_path / "damaged.jpg", content[:middle] + bytes(200) + content[middle + 200 :]))
    batch = images.Images(paths, COLOUR)
    with standard_error.kept() as lines:
        assert len(list(batch.dataset(np.arange(2)))) == 2
        os.write(2, b"heard\n")
    other, told = batch.remarks(lines, refused=False)
    assert other == "heard" and told.startswith(f"WARNING: {paths[1]} may be damaged inside (Corrupt JPEG data: ")
    assert batch.remarks(lines, refused=True) == [told]


def test_an_array_is_read_as_its_file_is(tmp_path):
    for batch in (np.stack([PIXELS, PIXELS[::-1]]), PIXELS[None, ..., 0], np.stack([SHADES]) / 255):
        expected = read_all([write(tmp_path / "batch.npy", batch)], COLOUR)[1]
        names, found = read_all([batch], COLOUR)
        assert (found == expected).all() and names == [f"array[{i}]" for i in range(len(batch))]
    refused = images.Images([np.zeros([2, 3, 4, 5], np.uint8)], COLOUR)
    assert str(refused.refusal(0)).startswith("array has shape [2, 3, 4, 5]; needed is [n, height, width] or ")
    assert refused.remarks(["a line of a library"], refused=False) == ["a line of a library"]
