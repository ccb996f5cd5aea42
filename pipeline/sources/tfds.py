"""tfds:NAME[/CONFIG][:VERSION]: any image classification data set of TensorFlow Datasets; `mnist` is tfds:mnist.

A data set that is not in --data_dir yet is downloaded and prepared there, as ArrayRecord files, which are read at
random. A split whose images are all of the size asked for, and few enough, is held in memory, decoded.
With --multi_label, the labels are a sequence of classes in each example, and a class that is twice in it counts once.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.config import Config
from pipeline.errors import BadDataError, UsageError
from pipeline.sources import fingerprints, images
from pipeline.sources.base import Original, Source
from pipeline.sources.decoding import find_broken
from pipeline.sources.fingerprints import Fingerprint
from pipeline.sources.labels import NO_CLASS, Labels, by_example, of_example, several_hot
from pipeline.sources.memory import InMemory
from pipeline.storage.files import expand

try:
    import tensorflow_datasets
except ImportError as error:
    raise UsageError(f"tensorflow_datasets cannot be imported ({error}); install it, or use another --source") from None

HELD_BYTES = 256 * 2**20  # a split of at most this many bytes, decoded, is held in memory
TFRECORD_BYTES = 2**30  # a split in TFRecord files, which cannot be read at random, is held encoded up to this many
FORMAT = "array_record"
SPLITS = ("train", "validation", "test")
_AT_A_TIME = 500  # records read together for their labels


class Features(NamedTuple):
    """The image and the label of a record: under which names they lie, and their form."""

    image: str
    label: str
    several: bool  # whether an example has any number of labels
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    as_stored: bool  # whether the records' images are of that shape already


class Records:
    """A split whose records, serialized tf.train.Example messages, are read by number and decoded in the graph."""

    weights = None  # all examples weigh as much
    encoded = True

    def __init__(
        self,
        read: Callable[[Sequence[int]], Sequence[bytes]],
        length: int,
        features: Features,
        name: str,
        fingerprint: Fingerprint,
    ) -> None:
        self.class_names, self.image_shape = features.class_names, features.image_shape
        self._read, self._length, self._features, self.name = read, length, features, name
        self.fingerprint = fingerprint

    def __len__(self) -> int:
        return self._length

    def fetch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        serialized = tf.numpy_function(self._fetch, [indices], tf.string, stateful=False)
        image, label = self._features.image, self._features.label
        of_label = tf.io.RaggedFeature(tf.int64) if self._features.several else tf.io.FixedLenFeature([], tf.int64)
        form = {image: tf.io.FixedLenFeature([], tf.string), label: of_label}
        example = tf.io.parse_example(tf.ensure_shape(serialized, indices.shape), form)
        labels = tf.cast(example[label], tf.int32)
        return example[image], self._hot(labels) if self._features.several else labels

    def _hot(self, labels: tf.RaggedTensor) -> tf.Tensor:
        rows = tf.pad(labels.to_tensor(NO_CLASS), [[0, 0], [0, 1]], constant_values=NO_CLASS)  # a column at least
        return several_hot(rows, len(self.class_names))

    @cached_property
    def labels(self) -> Labels:
        """See `Source.labels`. All records are read for them, once."""
        parts = [np.arange(i, min(i + _AT_A_TIME, self._length)) for i in range(0, self._length, _AT_A_TIME)]
        return _table(np.concatenate([self.fetch(tf.constant(part, tf.int64))[1].numpy() for part in parts]))

    def begins_labelled(self) -> bool:
        """Whether the first record has a label; where an example may have none, whether one of the first has."""
        first = tf.range(min(self._length, _AT_A_TIME if self._features.several else 1), dtype=tf.int64)
        labels = self.fetch(first)[1].numpy()
        return bool(labels.any() if self._features.several else labels[0] >= 0)

    def _fetch(self, indices: np.ndarray) -> np.ndarray:
        try:
            return np.array(self._read(indices.tolist()), dtype=object)
        except Exception as error:  # the reader's are RuntimeErrors, whatever went wrong
            raise BadDataError(f"{self.name} cannot be read ({_line(error)}); delete it, to prepare it again") from None

    def decode(self, raw: tf.Tensor, window: images.Window | None = None) -> tf.Tensor:
        return images.decode_batch(raw, self.image_shape, window)

    def original(self, index: int) -> Original:
        raw, labels = self.fetch(tf.constant([index], tf.int64))
        return Original("", of_example(_table(labels.numpy()), 0), raw.numpy()[0])

    def where(self, index: int) -> str:
        return f"{self.name}: record {index}"


def own_splits(argument: str, config: Config) -> dict[str, Source]:
    """The data set's own splits that have labels."""
    name = f"tfds:{argument}"
    # The features are checked before anything is downloaded.
    features = _features(name, _builder(name, argument, config).info, config)
    builder = _prepared(name, argument, config)
    opened = {split: _open(name, builder, split, features) for split in SPLITS if split in builder.info.splits}
    return {split: source for split, source in opened.items() if source is not None}


def _builder(name: str, argument: str, config: Config) -> Any:
    """TFDS's builder of the data set."""
    data_dir = expand(config.data_dir, "data_dir") if config.data_dir else _default_data_dir()
    try:
        return tensorflow_datasets.builder(argument, data_dir=data_dir)
    except tensorflow_datasets.core.DatasetNotFoundError:
        known = tensorflow_datasets.list_builders(with_community_datasets=False)
        close = difflib.get_close_matches(re.split("[/:]", argument)[0], known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else "see https://www.tensorflow.org/datasets/catalog"
        raise UsageError(f"source={name} is no data set of TFDS; {hint}") from None
    except Exception as error:  # each data set is a program of its own, and may fail in its own way
        raise UsageError(f"source={name} cannot be opened ({_line(error)}); choose another name or version") from None


def _default_data_dir() -> str:
    """Where TFDS looks by itself. Raises UsageError where that is in a home directory, and none is known."""
    return expand(tensorflow_datasets.core.constants.DATA_DIR, "data_dir")


def _prepared(name: str, argument: str, config: Config) -> Any:
    """The builder of a data set that lies in its directory; downloads and converts it where it does not yet."""
    builder = _builder(name, argument, config)
    download = tensorflow_datasets.download.DownloadConfig(try_download_gcs=False)
    try:
        builder.download_and_prepare(file_format=FORMAT, download_config=download)
    except Exception as error:  # the network's, the disk's, or one of the data set's own program
        builder = _builder(name, argument, config)
        if not builder.data_path.exists():  # else another worker of this host was faster
            raise BadDataError(
                f"{name} cannot be prepared in {builder.data_dir} ({_line(error)}); mend that, or put its downloads "
                f"into {builder.data_dir_root}/downloads/manual under their own names"
            ) from None
    return builder


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _features(name: str, info: Any, config: Config) -> Features:
    """The data set's image and label. Raises BadDataError or UsageError where the pipeline cannot use them."""
    size, several = config.size, config.multi_label
    pictures = {
        key: feature
        for key, feature in info.features.items()
        if isinstance(feature, tensorflow_datasets.features.Image) and feature.dtype == np.uint8
    }
    labels = dict(_sequences(info.features.items()) if several else _labels(info.features.items()))
    image = _chosen(name, info, pictures, "record_image_key", config.record_image_key)
    label = _chosen(name, info, labels, "record_label_key", config.record_label_key)
    if not image or not label:
        raise BadDataError(
            f"{name} has the features {', '.join(info.features)}; one image of 8-bit pixels and one "
            f"{'sequence of class labels' if several else 'class label'} are needed: name them by --record_image_key "
            "and --record_label_key, or use another data set"
        )
    height, width, channels = info.features[image].shape
    if not size.height and None in (height, width):
        raise UsageError(f"{name} has images of varying size; give the size they are resized to as --image_size=N")
    image_shape = (size.height or height, size.width or width, 1 if channels == 1 else 3)
    as_stored = image_shape == (height, width, channels)
    return Features(image, label, several, tuple(labels[label].names), image_shape, as_stored)


def _labels(features: Iterable[tuple[str, Any]], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The class labels among features, by the names under which records hold them."""
    for name, feature in features:
        if isinstance(feature, tensorflow_datasets.features.ClassLabel):
            yield f"{prefix}{name}", feature


def _sequences(features: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The class labels of which an example has a sequence, by themselves or as a part of what it has in a sequence."""
    for name, feature in features:
        inner = feature.feature if isinstance(feature, tensorflow_datasets.features.Sequence) else None
        if isinstance(inner, tensorflow_datasets.features.ClassLabel):
            yield name, inner
        if isinstance(inner, tensorflow_datasets.features.FeaturesDict):
            yield from _labels(inner.items(), f"{name}/")


def _chosen(name: str, info: Any, found: Mapping[str, Any], flag: str, asked: str) -> str | None:
    """The feature that a flag names, or else the only one: of all, or of those that TFDS calls supervised.

    Of several sequences of labels, the one named `labels`.
    """
    if asked and asked not in found:
        raise UsageError(f"{flag}={asked} is no such feature of {name}; it has: {', '.join(found) or 'none'}")
    supervised = [key for key in found if key in (info.supervised_keys or ())]
    names = [asked] if asked else supervised or [key for key in found if key == "labels"] or list(found)
    return names[0] if len(names) == 1 else None


def _table(labels: np.ndarray) -> Labels:
    """Labels as `fetch` has them, [n] or [n, classes], as `Source.labels` has them."""
    if labels.ndim == 1:
        return labels
    return by_example(np.nonzero(labels)[1].astype(np.int32), np.count_nonzero(labels, axis=1))


def _open(name: str, builder: Any, split: str, features: Features) -> Source | None:
    """A split of a prepared data set, or None where it has no examples or no labels."""
    length = builder.info.splits[split].num_examples
    stored = (builder.info.full_name, split, length, builder.info.splits[split].num_bytes)
    fingerprint = {"data set": fingerprints.digest(*stored), "labels": fingerprints.digest(*features.class_names)}
    source = Records(_reader(name, builder, split), length, features, f"{name} {split}", fingerprint)
    try:
        if not length or not source.begins_labelled():
            return None
        # The window of resize_crop depends on the picture's own size: pictures are held only if none is resized.
        few = length * math.prod(features.image_shape) <= HELD_BYTES
        return _hold(source) if few and features.as_stored else source
    except tf.errors.OpError:
        find_broken(source, range(length))
        raise


def _reader(name: str, builder: Any, split: str) -> Callable[[Sequence[int]], Sequence[bytes]]:
    """A function that returns the records of the given numbers."""
    info = builder.info
    if FORMAT in [kind.value for kind in info.available_file_formats()]:
        raw = tensorflow_datasets.decode.DeserializeMethod.RAW_BYTES
        return builder.as_data_source(split, deserialize_method=raw).__getitems__
    if info.file_format.value != "tfrecord" or info.splits[split].num_bytes > TFRECORD_BYTES:
        raise BadDataError(
            f"{name} is prepared in {builder.data_dir} as {info.file_format.value}, which cannot be read at random; "
            "give another --data_dir, to prepare it there as array_record"
        )
    records = list(tf.data.TFRecordDataset(info.splits[split].filepaths).as_numpy_iterator())
    return lambda numbers: [records[number] for number in numbers]


def _hold(source: Records) -> InMemory:
    """The split, decoded in memory."""

    def read(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        raw, labels = source.fetch(indices)
        return source.decode(raw), labels

    batches = tf.data.Dataset.range(len(source)).batch(500).map(read, num_parallel_calls=tf.data.AUTOTUNE)
    pixels, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return InMemory(np.concatenate(pixels), _table(np.concatenate(labels)), source.class_names, source.name)
