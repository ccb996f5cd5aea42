"""Pictures that lie in shards, read at random: one read of just its bytes for each."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.config import Config
from pipeline.errors import BadDataError
from pipeline.sources import decoding, files, fingerprints, images
from pipeline.sources.base import Splits, complete
from pipeline.sources.listing import printable
from pipeline.sources.shards import Shard
from pipeline.storage.files import expand
from pipeline.storage.reading import read_small

SAMPLED, CHECKED, CHECKED_BYTES = 50, 1000, 8 * 2**20  # pictures whose sizes decide, and that are decoded at the start


class PackedFiles:
    """One split, in the order in which a folder would have its pictures. Some 30 bytes a picture are held."""

    def __init__(
        self, shards: Sequence[Shard], labels: npt.NDArray[np.int32], class_names: tuple[str, ...], name: str
    ) -> None:
        """labels: of all pictures in the order of the shards, numbers of classes. image_shape is set by `splits`."""
        self.class_names, self.name = class_names, name
        self.image_shape: images.ImageShape = (0, 0, 0)
        counts = [len(shard.contents.offsets) for shard in shards]
        names = _names(shards, [class_names[label] for label in labels])
        order = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).digest())
        self._files = [(shard.path, shard.size, shard.mtime_ns) for shard in shards]
        self._shards = np.repeat(np.arange(len(shards), dtype=np.int32), counts)[order]
        self._numbers = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])[order]
        self._offsets = np.concatenate([shard.contents.offsets for shard in shards])[order]
        self.sizes = np.concatenate([shard.contents.lengths for shard in shards])[order]
        self._labels = tf.constant(labels[order], tf.int32)
        self.fingerprint = {
            "file names": fingerprints.digest("\0".join(names[i] for i in order)),
            "labels": fingerprints.digest(labels[order], *class_names),
            "file sizes": fingerprints.digest(self.sizes),
        }

    def __len__(self) -> int:
        return len(self.sizes)

    def fetch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        encoded = tf.numpy_function(self.read, [indices], tf.string, stateful=False)
        return tf.ensure_shape(encoded, indices.shape), tf.gather(self._labels, indices)

    def read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
        """The bytes of these pictures' files: [n] of bytes. Raises BadDataError."""
        found = np.empty(len(indices), dtype=object)
        for shard in np.unique(self._shards[indices]):
            descriptor = self._opened(shard)
            try:
                for place in np.flatnonzero(self._shards[indices] == shard):
                    index = indices[place]
                    found[place] = os.pread(descriptor, int(self.sizes[index]), int(self._offsets[index]))
            finally:
                os.close(descriptor)
        return found

    def _opened(self, shard: int) -> int:
        """A descriptor of a shard. Raises BadDataError if it is another file than the one that was indexed."""
        path, size, mtime_ns = self._files[shard]
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise BadDataError(f"{printable(path)} cannot be read ({error.strerror}); make it readable") from None
        status = os.fstat(descriptor)
        if (status.st_size, status.st_mtime_ns) != (size, mtime_ns):
            os.close(descriptor)
            raise BadDataError(f"{printable(path)} changed since the start; start the same command again")
        return descriptor

    def decode(self, raw: tf.Tensor, window: images.Window | None = None) -> tf.Tensor:
        return images.decode_batch(raw, self.image_shape, window)

    def where(self, index: int) -> str:
        return f"{printable(self._files[self._shards[index]][0])}: record {self._numbers[index]}"


def splits(name: str, found: Mapping[str, Sequence[Shard]], config: Config) -> Splits:
    """The splits that lie in these shards, those they lack made of others by `complete`.

    Raises BadDataError for a label that is no class, and for pictures among the first that cannot be decoded.
    """
    class_names, numbers = _classes(name, found, config)
    opened = {
        split: PackedFiles(shards, numbers[split], class_names, f"{name} {split}") for split, shards in found.items()
    }
    if empty := [split for split, source in opened.items() if not len(source)]:
        raise BadDataError(f"{name}: its {empty[0]} files hold no pictures; give others")
    shape = _image_shape(opened["train"], config.image_size)
    for source in opened.values():
        source.image_shape = shape
    _check(list(opened.values()))
    return complete(name, opened, config.validation_fraction)


def _names(shards: Sequence[Shard], classes: Sequence[str]) -> list[str]:
    """The name of each picture that decides its place: CLASS/FILE, as in a folder.

    Where a picture has none, or two have one, all are named by their shard and their number in it.
    """
    given = [name for shard in shards for name in shard.contents.names]
    names = [
        "/".join(name.split("/")[-2:]) if "/" in name.strip("/") else f"{label}/{name}"
        for name, label in zip(given, classes, strict=True)
    ]
    if all(given) and len(set(names)) == len(names):
        return names
    return [f"{os.path.basename(shard.path)}:{i}" for shard in shards for i in range(len(shard.contents.names))]


def _classes(
    name: str, found: Mapping[str, Sequence[Shard]], config: Config
) -> tuple[tuple[str, ...], dict[str, npt.NDArray[np.int32]]]:
    """The names of the classes, and each split's labels as their numbers, in the order of its shards."""
    labels = {split: _labels(shards) for split, shards in found.items()}
    if any(shard.contents.textual for shards in found.values() for shard in shards):
        return _by_text(name, found, config)
    given = _given_names(config)
    least, most = (int(labels["train"].min()), int(labels["train"].max())) if len(labels["train"]) else (0, 0)
    first = 1 if (most == len(given) if given else least == 1) else 0
    count = len(given) or most - first + 1
    for split, values in labels.items():
        strange = values[(values < first) | (values >= first + count)]
        if len(strange):
            raise BadDataError(
                f"{name}: {split} has the label {strange[0]}, which is no class; {count} classes are numbered from "
                f"{first}, as {'--class_names' if given else 'the training examples'} say: correct the data or that"
            )
    if count < 2:
        raise BadDataError(f"{name} has {count} class; at least 2 are needed")
    return given or _own_names(found, first, count), {
        split: (values - first).astype(np.int32) for split, values in labels.items()
    }


def _labels(shards: Sequence[Shard]) -> npt.NDArray[np.int64]:
    return np.concatenate([shard.contents.labels for shard in shards])


def _own_names(found: Mapping[str, Sequence[Shard]], first: int, count: int) -> tuple[str, ...]:
    """The texts of the labels, made different where two labels have one; numbers where a label has none."""
    texts: dict[int, str] = {}
    for shard in found["train"]:
        texts = {**shard.contents.classes, **texts}
    if set(range(first, first + count)) - set(texts):
        return tuple(str(number) for number in range(count))
    named = [texts[first + number] for number in range(count)]
    return tuple(f"{text} ({number})" if named.count(text) > 1 else text for number, text in enumerate(named))


def _by_text(
    name: str, found: Mapping[str, Sequence[Shard]], config: Config
) -> tuple[tuple[str, ...], dict[str, npt.NDArray[np.int32]]]:
    """Classes that are told apart by their texts: numbered in their order, or in that of --class_names."""
    if not all(shard.contents.textual for shards in found.values() for shard in shards):
        raise BadDataError(f"{name}: some files have numbers as labels and others words; give all the same")
    words = sorted({text for shard in found["train"] for text in shard.contents.classes.values()})
    class_names = _given_names(config) or tuple(words)
    numbers = {text: number for number, text in enumerate(class_names)}
    labels = {}
    for split, shards in found.items():
        for shard in shards:
            if strange := sorted(set(shard.contents.classes.values()) - set(numbers)):
                raise BadDataError(f"{printable(shard.path)}: {strange[0]} is no class of the training examples")
        labels[split] = np.concatenate(
            [
                np.array([numbers[shard.contents.classes[i]] for i in shard.contents.labels.tolist()], np.int32)
                for shard in shards
            ]
        )
    return class_names, labels


def _given_names(config: Config) -> tuple[str, ...]:
    """The lines of --class_names; none where it is not given. Raises BadDataError."""
    if not config.class_names:
        return ()
    path = expand(config.class_names, "class_names")
    try:
        lines = read_small(Path(path)).decode().splitlines()
    except OSError as error:
        raise BadDataError(f"class_names={path} cannot be read ({error.strerror}); correct it") from None
    except UnicodeDecodeError:
        raise BadDataError(f"class_names={path} is not UTF-8 text; write one class name a line") from None
    if len(set(lines)) != len(lines) or not all(line.strip() and line.isprintable() for line in lines) or not lines:
        raise BadDataError(
            f"class_names={path} has lines that are empty, equal or not printable; write one class a line"
        )
    return tuple(lines)


def _image_shape(source: PackedFiles, image_size: int) -> images.ImageShape:
    """The shape of all pictures, as `files.common_shape` finds it from the first."""
    first = np.arange(min(SAMPLED, len(source)))
    shapes = [
        (source.where(i), files.shape_of(content, source.where(i))) for i, content in enumerate(source.read(first))
    ]
    return files.common_shape(shapes, image_size)


def _check(sources: Sequence[PackedFiles]) -> None:
    """Raises BadDataError naming the pictures that cannot be decoded, where one of the first of a split cannot."""
    few = [int(np.sum(np.cumsum(source.sizes[:CHECKED]) <= CHECKED_BYTES)) for source in sources]
    found = [decoding.search(source, range(count)) for source, count in zip(sources, few, strict=True) if count]
    if faults := [fault for search in found for fault in search.faults]:
        raise files.refusal(faults, "replace or remove", not all(search.is_whole for search in found), "example")
