"""The protocol of every source of examples, and the slices that make a validation split."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import tensorflow as tf
from absl import logging

from pipeline.errors import BadDataError, UsageError
from pipeline.sources import fingerprints, images
from pipeline.sources.fingerprints import Fingerprint
from pipeline.sources.labels import Labels, Weights, of_example


class Original(NamedTuple):
    """An example as it is stored."""

    name: str  # CLASS/FILE, which decides its place among the others; "" where the source has no names
    labels: tuple[int, ...]  # its classes; one, but for multi-label data
    content: bytes  # of its picture's file; a PNG file where the source holds pixels


class Source(Protocol):
    """One split of a data set, with random access by index.

    `fetch` and `decode` are traced inside tf.data: they take and return tensors and hold no state.
    They are separate so that the pipeline can fetch many and decode in parallel.
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]  # height, width, channels (1 or 3)
    encoded: bool  # whether the pictures are files, which take time to decode

    @property
    def fingerprint(self) -> Fingerprint:
        """Hashes that are equal for equal examples in the same order, wherever they lie."""
        ...

    @property
    def labels(self) -> Labels:
        """The classes of all examples: [n], or of multi-label data [n, most], rows filled up with NO_CLASS."""
        ...

    @property
    def weights(self) -> Weights | None:
        """The weights of the examples' losses, as they are given: [n]. None: all weigh as much."""
        ...

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def fetch(self, indices: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """[n] int64 in [0, len) -> (raw records with leading dimension n, labels [n] int32).

        Labels of multi-label data are [n, classes] float32: 1 for each class that the example has, else 0.
        """
        ...

    def decode(self, raw: Any, window: images.Window | None = None) -> tf.Tensor:
        """Raw records of n examples -> images [n, *image_shape] uint8: each whole, or its window, resized."""
        ...

    def original(self, index: int) -> Original:
        """The example as it is stored, neither resized nor decoded. Raises BadDataError if it cannot be read."""
        ...

    def where(self, index: int) -> str:
        """Where a person finds this example: a file's path, or a record's number. Text that can be printed."""
        ...


@dataclasses.dataclass(frozen=True)
class ExampleSpec:
    """The properties of its examples that a run needs, and records with every checkpoint."""

    image_shape: tuple[int, int, int]  # height, width, channels
    class_names: tuple[str, ...]
    num_train: int  # examples in the training split; with the seed, the number decides the examples of each step
    fingerprint: str = ""  # of all three splits; "" in a manifest that was written before there was one


@dataclasses.dataclass(frozen=True)
class Splits:
    """The three splits of a data set; all share class names and image shape."""

    train: Source
    validation: Source
    test: Source

    @property
    def spec(self) -> ExampleSpec:
        """The properties of the examples that a run needs."""
        fingerprint = fingerprints.text({name: split.fingerprint for name, split in vars(self).items()})
        return ExampleSpec(self.train.image_shape, self.train.class_names, len(self.train), fingerprint)


class Slice:
    """Examples [start, stop) of another source, in its order."""

    def __init__(self, source: Source, start: int, stop: int) -> None:
        self._source, self._start, self._length = source, start, stop - start
        self.class_names, self.image_shape, self.encoded = source.class_names, source.image_shape, source.encoded

    def __len__(self) -> int:
        return self._length

    @property
    def fingerprint(self) -> Fingerprint:
        return fingerprints.of_slice(self._source.fingerprint, self._start, self._start + self._length)

    @property
    def labels(self) -> Labels:
        return self._source.labels[self._start : self._start + self._length]

    @property
    def weights(self) -> Weights | None:
        weights = self._source.weights
        return None if weights is None else weights[self._start : self._start + self._length]

    def fetch(self, indices: tf.Tensor) -> tuple[Any, tf.Tensor]:
        return self._source.fetch(indices + self._start)

    def decode(self, raw: Any, window: images.Window | None = None) -> tf.Tensor:
        return self._source.decode(raw, window)

    def original(self, index: int) -> Original:
        return self._source.original(index + self._start)

    def where(self, index: int) -> str:
        return self._source.where(index + self._start)


class SamePictures:
    """All examples of another source, which a subclass decodes in another way."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.class_names, self.image_shape, self.encoded = source.class_names, source.image_shape, source.encoded

    def __len__(self) -> int:
        return len(self._source)

    @property
    def fingerprint(self) -> Fingerprint:
        return self._source.fingerprint

    @property
    def labels(self) -> Labels:
        return self._source.labels

    @property
    def weights(self) -> Weights | None:
        return self._source.weights

    def fetch(self, indices: tf.Tensor) -> tuple[Any, tf.Tensor]:
        return self._source.fetch(indices)

    def original(self, index: int) -> Original:
        return self._source.original(index)

    def where(self, index: int) -> str:
        return self._source.where(index)


class Resized(SamePictures):
    """Another source, its images made to fit height x width."""

    def __init__(self, source: Source, height: int, width: int) -> None:
        super().__init__(source)
        self.image_shape = (height, width, source.image_shape[2])

    def decode(self, raw: Any, window: images.Window | None = None) -> tf.Tensor:
        pictures = self._source.decode(raw)
        if window is None:
            return images.fit(pictures, *self.image_shape[:2])
        return images.windows(pictures, window, self.image_shape)


class Middle(SamePictures):
    """Another source as evaluation sees it: the middle of each picture, as `images.middle` takes it."""

    def __init__(self, source: Source, share: float) -> None:
        super().__init__(source)
        self._window = images.middle(share, source.image_shape)

    def decode(self, raw: Any, window: images.Window | None = None) -> tf.Tensor:
        return self._source.decode(raw, window or self._window)


def as_png(source: Source, index: int) -> Original:
    """The original of an example that has no file, of a source whose labels lie in memory."""
    raw, _ = source.fetch(tf.constant([index], tf.int64))
    return Original("", of_example(source.labels, index), tf.io.encode_png(source.decode(raw)[0]).numpy())


def carve(source: Source, fraction: float) -> tuple[Slice, Slice]:
    """The examples to train on, and the first round(n * fraction) of them, which are held out.

    Raises UsageError where either would be empty.
    """
    length, held_out = len(source), round(len(source) * fraction)
    if not 0 < held_out < length:
        raise UsageError(
            f"validation_fraction={fraction} of {length} examples holds out {held_out} and leaves {length - held_out}; "
            "each needs at least 1: use another --validation_fraction, or more examples"
        )
    return Slice(source, held_out, length), Slice(source, 0, held_out)


def complete(name: str, found: Mapping[str, Source], validation_fraction: float) -> Splits:
    """All three splits, of those that a data set has: train, and maybe validation and test.

    Without a test split its validation split, if it has one, is the test split, which is told. Splits that are
    missing then are carved off the training examples. name: of the data set, for messages.
    Raises BadDataError without train, and UsageError where a split would be empty.
    """
    splits = dict(found)
    if "train" not in splits:
        there = " and ".join(sorted(found)) or "none"
        raise BadDataError(f"{name} has no train split with labels, but {there}; use other data")
    if "test" not in splits and "validation" in splits:
        logging.warning("%s has no test split with labels: its validation split is used for testing", name)
        splits["test"] = splits.pop("validation")
    for missing in ("test", "validation"):
        if missing not in splits:
            splits["train"], splits[missing] = carve(splits["train"], validation_fraction)
    return Splits(**splits)
