"""Every example of a split, read and decoded once by several threads, in order."""

import functools
import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.errors import BadDataError
from pipeline.process import standard_error
from pipeline.sources import decoding, files, images
from pipeline.sources.base import Original, Source

THREADS = 16
AT_A_TIME = 256  # examples between two looks at what libjpeg wrote
_NONE = (0, 0, 0)


class Looked(NamedTuple):
    """One example: its labels, the size of its file, and its pixels' size and hash; or its fault."""

    labels: tuple[int, ...]  # its classes; none where it cannot be read
    num_bytes: int = 0
    shape: tuple[int, int, int] = _NONE  # height, width, channels of the upright picture, as the model's colours are
    pixels_hash: int = 0  # 0 for a fault; else 64 bits, which a million pictures share once in 37 million data sets
    fault: str = ""  # why it cannot be used, to follow its place in a sentence
    remark: str = ""  # what may be wrong with it
    read_s: float = 0.0
    decode_s: float = 0.0


def originals(source: Source, indices: range) -> Iterator[Original]:
    """Examples as they are stored, in order, a few read ahead. Raises BadDataError."""
    with ThreadPoolExecutor(THREADS) as threads:
        for start in range(indices.start, indices.stop, AT_A_TIME):
            yield from threads.map(source.original, indices[start - indices.start :][:AT_A_TIME])


def look_at_all(source: Source, done: Callable[[int], None]) -> Iterator[Looked]:
    """A look at each example of a split, in order. done: is told how many more were looked at."""
    decode = decoder(source.image_shape[2])
    with ThreadPoolExecutor(THREADS) as threads:
        for start in range(0, len(source), AT_A_TIME):
            indices = range(start, min(start + AT_A_TIME, len(source)))
            with standard_error.kept() as lines:
                found = list(threads.map(lambda index: _look(source, index, decode), indices))
            if any(map(decoding.complains, lines)):
                found = [_with_complaint(source, index, looked) for index, looked in zip(indices, found, strict=True)]
            yield from found
            done(len(found))


@functools.cache
def decoder(channels: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """The pixels of a file's bytes, as a function that has run already: its first call takes seconds."""
    signature = [tf.TensorSpec([], tf.string)]
    decode = tf.function(lambda content: images.pixels(content, channels), input_signature=signature, autograph=False)
    decode(tf.io.encode_png(tf.zeros([1, 1, 1], tf.uint8)))
    return decode


def _look(source: Source, index: int, decode: Callable[[tf.Tensor], tf.Tensor]) -> Looked:
    begun = time.perf_counter()
    try:
        original = source.original(index)
    except (BadDataError, tf.errors.OpError) as error:
        return Looked((), fault=f"cannot be read ({_reason(error)})")
    read = time.perf_counter()
    labels, num_bytes = original.labels, len(original.content)
    if fault := files.fault_of(original.content):
        return Looked(labels, num_bytes, fault=fault, read_s=read - begun)
    try:
        pixels = decode(tf.constant(original.content)).numpy()
    except tf.errors.OpError as error:
        return Looked(labels, num_bytes, fault=f"cannot be decoded ({decoding.words_of(error)})", read_s=read - begun)
    height, width, channels = pixels.shape
    return Looked(
        labels, num_bytes, (height, width, channels), _hash(pixels), read_s=read - begun,
        decode_s=time.perf_counter() - read,
    )  # fmt: skip


def _reason(error: Exception) -> str:
    """Why a file cannot be read, without its path and the remedy, which belong to messages that stand alone."""
    text = decoding.words_of(error) if isinstance(error, tf.errors.OpError) else str(error)
    _, mark, reason = text.partition("cannot be read (")
    return reason.partition("); ")[0] if mark else text


def _hash(pixels: npt.NDArray[np.uint8]) -> int:
    total = hashlib.blake2b(f"{pixels.shape}".encode(), digest_size=8)
    total.update(np.ascontiguousarray(pixels).data)
    return int.from_bytes(total.digest(), "little")


def _with_complaint(source: Source, index: int, looked: Looked) -> Looked:
    """What was found, and what libjpeg says of this one example."""
    if looked.fault:
        return looked
    line = decoding.complaint(lambda: source.original(index).content)
    if decoding.is_made_up(line):
        return looked._replace(fault=f"is damaged inside ({line})", pixels_hash=0)
    return looked._replace(remark=f"may be damaged inside ({line})" if line else "")
