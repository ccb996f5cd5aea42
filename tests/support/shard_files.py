"""TFRecord and tar files of the pictures of a folder, as tfrecord:GLOB and tar:GLOB read them."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf


def feature(value: Any) -> tf.train.Feature:
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    values = [value.encode() if isinstance(value, str) else value]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def example(features: Mapping[str, Any]) -> bytes:
    """A serialized tf.train.Example."""
    features = {name: feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def write_records(path: Path, records: Sequence[bytes]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def write_tar(path: Path, members: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def pictures(directory: Path) -> list[Path]:
    """The files of the classes in a directory, in another order than any reader's."""
    return sorted(directory.glob("*/*"), key=lambda path: (path.name, path.parent.name), reverse=True)


def imagenet_records(directory: Path, first_label: int = 1) -> list[bytes]:
    """As TensorFlow's ImageNet scripts write them."""
    classes = sorted(path.name for path in directory.iterdir())
    return [
        example(
            {
                "image/class/label": classes.index(path.parent.name) + first_label,
                "image/class/text": path.parent.name,
                "image/encoded": path.read_bytes(),
                "image/filename": path.name,
                "image/height": 6,
            }
        )
        for path in pictures(directory)
    ]


def tar_members(directory: Path, label: str = "cls") -> dict[str, bytes]:
    """As WebDataset shards have them, named as in the directory."""
    members = {}
    for path in pictures(directory):
        key = f"{path.parent.name}/{path.stem}"
        text = path.parent.name if label == "cls" else f'{{"label": "{path.parent.name}"}}'
        members |= {f"./{key}.{label}": text.encode(), f"./{key}{path.suffix}": path.read_bytes()}
    return members
