"""A folder, a table, TFRecord and tar files of the same pictures are the same data: one order, one run, to the bit."""

import json

import numpy as np
import pytest
import small_run
import tensorflow as tf
from picture_folders import encoded, photo
from shard_files import imagenet_records, tar_members, write_records, write_tar

from pipeline import sources
from pipeline.config import Config
from pipeline.engine import state

KINDS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    """The same 30 pictures in every form: as the flags that name them."""
    root = tmp_path_factory.mktemp("data")
    for split, count in (("train", 20), ("test", 10)):
        for i in range(count):
            path = root / "D" / split / ("ant", "bee")[i % 2] / f"{i}.{tuple(KINDS)[i % 6 // 2]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(photo(12, seed=i), KINDS[path.suffix[1:]]))
        records, members = imagenet_records(root / "D" / split), list(tar_members(root / "D" / split).items())
        half = len(records) // 2
        write_records(root / f"{split}-0.tfrecord", records[half:])
        write_records(root / f"{split}-1.tfrecord", records[:half])
        write_tar(root / f"{split}-0.tar", dict(members[half // 2 * 2 :]))
        write_tar(root / f"{split}-1.tar", dict(members[: half // 2 * 2]))
    rows = [
        {"path": str(path.relative_to(root)), "label": path.parent.name, "split": path.parent.parent.name}
        for path in sorted(root.glob("D/*/*/*"), reverse=True)
    ]
    (root / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for suffix, mark in ((".csv", ","), (".tsv", "\t")):
        lines = [mark.join(values) for values in (rows[0].keys(), *(row.values() for row in rows))]
        (root / f"list{suffix}").write_text("\ufeff" + "\r\n".join(lines))
    tables = [f"csv:{root}/list{suffix}" for suffix in (".csv", ".tsv", ".jsonl")]
    return [f"folder:{root}/D", f"tfrecord:{root}/*.tfrecord", f"tar:{root}/*.tar", *tables]


def opened(spec):
    return sources.open_splits(Config(source=spec, validation_fraction=0.2))


def test_all_splits_have_the_same_examples_in_the_same_order(specs):
    folder, *others = map(opened, specs)
    for other in others:
        assert other.spec == folder.spec
        for split in ("train", "validation", "test"):
            mine, its = getattr(folder, split), getattr(other, split)
            indices = tf.range(len(mine), dtype=tf.int64)
            (raw, labels), (its_raw, its_labels) = mine.fetch(indices), its.fetch(indices)
            np.testing.assert_array_equal(labels, its_labels)
            np.testing.assert_array_equal(its.labels, its_labels)
            np.testing.assert_array_equal(mine.decode(raw), its.decode(its_raw))


def test_one_run_has_the_same_bits(specs):
    fields = {"validation_fraction": 0.2, "augment": "resize_crop:0.5,flip", "steps": 2}
    hashes = {state.parameters_sha256(small_run.train(0, 2, source=spec, **fields)) for spec in specs[:4]}
    fake = state.parameters_sha256(small_run.train(0, 2, source="fake:16", **fields))
    assert len(hashes) == 1 and fake not in hashes
