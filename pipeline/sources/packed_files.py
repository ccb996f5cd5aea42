"""Pictures that lie in shards, read at random: one read of just its bytes for each."""

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.errors import BadDataError
from pipeline.process import standard_error
from pipeline.sources import checksums, classes, decoding, files, fingerprints, images, order
from pipeline.sources.base import Original, Source
from pipeline.sources.labels import Labels, Lookup, by_example, joined_names, of_example
from pipeline.sources.listing import printable
from pipeline.sources.shard_files import ShardFiles
from pipeline.sources.shards import Shard
from pipeline.text.flag_values import ImageSize

SAMPLED, CHECKED, CHECKED_BYTES = 50, 1000, 8 * 2**20  # pictures whose sizes decide, and that are decoded at the start


class PackedFiles:
    """One split, in the order in which a folder would have its pictures. At most 56 bytes a picture, and its name."""

    weights = None  # all examples weigh as much
    encoded = True

    def __init__(
        self,
        files: ShardFiles,
        shards: Sequence[Shard],
        labels: Labels,
        class_names: tuple[str, ...],
        name: str,
    ) -> None:
        """labels: of all pictures in the order of the shards, numbers of classes. image_shape is set by `splits`."""
        self._files = files
        self.class_names, self.name = class_names, name
        self.image_shape: images.ImageShape = (0, 0, 0)
        counts = [len(shard.contents.offsets) for shard in shards]
        names = order.names(
            [name for shard in shards for name in shard.contents.names],
            joined_names(labels, class_names),
            lambda: [
                f"{os.path.basename(shard.path)}:{i}" for shard in shards for i in range(len(shard.contents.names))
            ],
        )
        places = order.by_hash(names)
        self._stored = [shard.stored for shard in shards]
        self._shards = np.repeat(np.arange(len(shards), dtype=np.int32), counts)[places]
        self._numbers = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])[places]
        self._offsets = np.concatenate([shard.contents.offsets for shard in shards])[places]
        self.sizes = np.concatenate([shard.contents.lengths for shard in shards])[places]
        self._margins = _margins(shards, places)
        ordered = [os.fsencode(names[i]) for i in places]
        self._names, self._ends = b"".join(ordered), np.cumsum([len(name) for name in ordered])
        self._labels = Lookup(labels[places], len(class_names))
        self.fingerprint = {
            "file names": fingerprints.digest("\0".join(names[i] for i in places)),
            "labels": fingerprints.digest(labels[places], *class_names),
            "file sizes": fingerprints.digest(self.sizes),
        }

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def labels(self) -> Labels:
        return self._labels.array

    def fetch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        encoded = tf.numpy_function(self.read, [indices], tf.string, stateful=False)
        return tf.ensure_shape(encoded, indices.shape), self._labels(indices)

    def read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
        """The bytes of these pictures' files: [n] of bytes.

        Raises BadDataError, also for a record whose content has another checksum, and StorageError for a store.
        """
        where = self._offsets[indices], self.sizes[indices]
        if self._margins is None:
            return self._files.read(self._stored, self._shards[indices], *where)
        found = self._files.read(self._stored, self._shards[indices], *self._margins.widened(indices, *where))
        for place, index in enumerate(indices.tolist()):
            found[place] = self._margins.picture(index, found[place])
            if found[place] is None:
                raise BadDataError(
                    f"{self.where(index)} cannot be read (its content has another checksum than stands behind it); "
                    "bring the original file back, or make it anew"
                )
        return found

    def original(self, index: int) -> Original:
        [content] = self.read(np.array([index]))
        start = int(self._ends[index - 1]) if index else 0
        name = os.fsdecode(self._names[start : self._ends[index]])
        return Original(name, of_example(self.labels, index), content)

    def decode(self, raw: tf.Tensor, window: images.Window | None = None) -> tf.Tensor:
        return images.decode_batch(raw, self.image_shape, window)

    def where(self, index: int) -> str:
        return f"{printable(self._stored[self._shards[index]].path)}: record {self._numbers[index]}"


def _margins(shards: Sequence[Shard], places: Sequence[int]) -> checksums.Margins | None:
    """Those of the pictures at these places in the shards, one after another; None where there are no checksums."""
    before = [shard.contents.before for shard in shards if shard.contents.before is not None]
    behind = [shard.contents.behind for shard in shards if shard.contents.behind is not None]
    return checksums.Margins(np.concatenate(before)[places], np.concatenate(behind)[places]) if before else None


def splits(
    name: str,
    files: ShardFiles,
    found: Mapping[str, Sequence[Shard]],
    size: ImageSize,
    named: classes.Names,
    examine: bool,
) -> dict[str, Source]:
    """The splits that lie in these shards of the files, all with the image shape of the first, which is train's.

    Raises BadDataError for a label that is no class and, with `examine`, for pictures among the first that cannot be
    decoded.
    """
    labels = {split: [_labels(shard) for shard in shards] for split, shards in found.items()}
    class_names, numbers = classes.resolve(name, labels, named)
    opened = {
        split: PackedFiles(files, shards, _by_picture(numbers[split], shards), class_names, f"{name} {split}")
        for split, shards in found.items()
    }
    if empty := [split for split, source in opened.items() if not len(source)]:
        raise BadDataError(f"{name}: its {empty[0]} files hold no pictures; give others")
    shape = _image_shape(next(iter(opened.values())), size, examine)
    for source in opened.values():
        source.image_shape = shape
    if examine:
        _check(list(opened.values()))
    return dict(opened)


def _labels(shard: Shard) -> classes.Labels:
    contents = shard.contents
    return classes.Labels(printable(shard.path), contents.labels, contents.classes, contents.textual)


def _by_picture(numbers: npt.NDArray[np.int32], shards: Sequence[Shard]) -> Labels:
    """The classes in the shards, which stand one after another, by picture."""
    counts = [shard.contents.counts for shard in shards if shard.contents.counts is not None]
    return by_example(numbers, np.concatenate(counts)) if counts else numbers


def _image_shape(source: PackedFiles, size: ImageSize, examine: bool) -> images.ImageShape:
    """The shape of all pictures, as `files.common_shape` finds it from the first."""
    first = np.arange(min(SAMPLED, len(source)))
    names = [source.where(index) for index in first.tolist()]
    read = _reading(source, first, examine)
    with standard_error.kept():  # libjpeg's words about a header that it cannot read
        found = files.shapes_of(names, lambda number: files.shape_of(read(number), names[number]), examine)
    return files.common_shape(found, size)


def _reading(source: PackedFiles, indices: npt.NDArray[np.int64], examine: bool) -> Callable[[int], bytes]:
    """Gives the bytes of one of these pictures' files, which are read at once.

    Without `examine` it may raise BadDataError, for that one alone.
    """
    try:
        contents = source.read(indices)
    except BadDataError:
        if examine:
            raise
        return lambda number: source.read(indices[[number]])[0]
    return lambda number: contents[number]


def _check(sources: Sequence[PackedFiles]) -> None:
    """Raises BadDataError naming the pictures that cannot be decoded, where one of the first of a split cannot."""
    few = [int(np.sum(np.cumsum(source.sizes[:CHECKED]) <= CHECKED_BYTES)) for source in sources]
    found = [decoding.search(source, range(count)) for source, count in zip(sources, few, strict=True) if count]
    if faults := [fault for search in found for fault in search.faults]:
        raise files.refusal(faults, "replace or remove", not all(search.is_whole for search in found), "example")
