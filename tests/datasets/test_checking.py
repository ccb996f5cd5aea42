"""A check of a data set: everything broken, twice or of two classes is found, and nothing else."""

import json

import numpy as np
import pytest
from picture_folders import encoded, photo
from PIL import Image
from shard_files import example, imagenet_records, write_records

from pipeline import sources
from pipeline.config import Config
from pipeline.datasets import checking, telling
from pipeline.errors import BadDataError


@pytest.fixture
def root(tmp_path):
    """Ten photos of each of two classes to train on, and four to test on; all differ."""
    for split, count in (("train", 10), ("test", 2)):
        for number, name in enumerate(("ant", "bee")):
            for i in range(count):
                path = tmp_path / split / name / f"{i}.{('png', 'jpg')[i % 2]}"
                path.parent.mkdir(parents=True, exist_ok=True)
                kind = {"png": "PNG", "jpg": "JPEG"}[path.suffix[1:]]
                path.write_bytes(encoded(photo(24 + 6 * i, seed=100 * len(split) + 50 * number + i), kind))
    return tmp_path


def check(spec, **flags) -> tuple[checking.Report, int]:
    """The report, and the number of examples that its progress has come to."""
    told: list[int] = []
    config = Config(source=spec, image_size="1", **{"validation_fraction": 0.2, **flags})
    return checking.check(sources.open_splits(config, examine=False), told.append), sum(told)


def test_a_sound_data_set(root):
    report, told = check(f"folder:{root}")
    assert told == 24 and not report.broken and not report.duplicates
    assert [checked.num_examples for checked in report.splits.values()] == [16, 4, 4]
    assert report.splits["test"].counts.tolist() == [2, 2]
    assert (report.splits["train"].counts + report.splits["validation"].counts).tolist() == [10, 10]
    assert report.splits["test"].sizes == {(24, 24): 2, (30, 30): 2}
    assert report.splits["test"].num_bytes == sum(path.stat().st_size for path in root.glob("test/*/*"))


def test_records_that_have_another_checksum_are_listed(root, tmp_path):
    """Also among the first, whose sizes decide."""
    path = tmp_path / "records" / "train"
    path.parent.mkdir()
    write_records(path, imagenet_records(root / "train"))
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # in the last record
    path.write_bytes(content)
    report, _ = check(f"tfrecord:{path}")
    said = "cannot be read (its content has another checksum than stands behind it)"
    assert [(fault.where, fault.reason) for fault in report.broken] == [(f"{path}: record 19", said)]
    assert sum(checked.num_examples for checked in report.splits.values()) == 20


def test_everything_that_is_broken_is_listed(root):
    """Also where a training would refuse to start, and behind the first of its kind."""
    whole = (root / "train" / "ant" / "9.jpg").read_bytes()
    faults = {
        "train/ant/0.png": (b"hello", "begins with 68 65 6c 6c 6f: it is no PNG, JPEG, WebP, BMP or GIF"),
        "train/ant/1.jpg": (whole[:300], "was cut off: it has no end of its image"),
        "train/bee/3.jpg": (whole[:400] + whole[450:], "cannot be decoded ("),
        "train/bee/5.jpg": (whole[:-60] + whole[-20:], "is damaged inside ("),
        "train/bee/7.jpg": (whole[:-60] + whole[-20:], "is damaged inside ("),  # made-up pixels are no duplicates
        "test/bee/0.png": (b"\x89PNG\r\n\x1a\n....IEND\xae\x42\x60\x82", "cannot be decoded ("),
    }
    for name, (content, _) in faults.items():
        (root / name).write_bytes(content)
    with pytest.raises(BadDataError):
        sources.open_splits(Config(source=f"folder:{root}"))
    report, _ = check(f"folder:{root}")
    found = {fault.where.removeprefix(f"{root}/"): fault for fault in report.broken}
    assert found.keys() == faults.keys()
    for name, (_, reason) in faults.items():
        assert found[name].reason.startswith(reason)
        assert (found[name].split == "test") == name.startswith("test")
    assert sum(sum(checked.counts) for checked in report.splits.values()) == 24 and not report.duplicates


def test_a_file_that_is_gone_is_broken(root):
    splits = sources.open_splits(Config(source=f"folder:{root}", image_size="1", validation_fraction=0.2))
    path = splits.test.where(1)
    (root / path).unlink()
    report = checking.check(splits, lambda number: None)
    assert report.broken == [checking.Fault("test", path, "cannot be read (No such file or directory)")]


def test_equal_pixels_are_found_whatever_their_file(root):
    """Between splits, of two classes, and twice in one."""
    for source, copy in (("test/ant/0.png", "train/ant/leak.png"), ("train/bee/3.jpg", "train/bee/3b.jpg")):
        (root / copy).write_bytes((root / source).read_bytes())
    grey = Image.new("RGB", (7, 7), (9, 9, 9))
    (root / "test" / "ant" / "grey.png").write_bytes(encoded(grey, "PNG", compress_level=1))
    (root / "test" / "bee" / "grey.bmp").write_bytes(encoded(grey, "BMP"))
    report, _ = check(f"folder:{root}", validation_fraction=0.03)

    def names(groups):
        return [sorted(m.where.removeprefix(f"{root}/") for m in group) for group in groups]

    leaks = ["test/ant/0.png", "train/ant/leak.png"]
    other_classes = ["test/ant/grey.png", "test/bee/grey.bmp"]
    twice = ["train/bee/3.jpg", "train/bee/3b.jpg"]
    assert sorted(names(report.duplicates)) == sorted([leaks, other_classes, twice])
    assert names(report.leaks) == [leaks]
    assert names(report.contradictions) == [other_classes]
    assert names(report.repetitions) == [twice]
    lines = "\n".join(telling.table(report)).replace(f"{root}/", "")
    assert "1 picture in different splits, with equal pixels:\n  train: train/ant/leak.png (ant) = test: test" in lines
    assert "1 picture of different classes, with equal pixels:" in lines and "1 picture twice in one split" in lines


def test_records(root):
    for split in ("train", "test"):
        write_records(root / f"{split}.tfrecord", imagenet_records(root / split))
    folder, _ = check(f"folder:{root}")
    records, _ = check(f"tfrecord:{root}/*.tfrecord")
    for split, checked in folder.splits.items():
        other = records.splits[split]
        np.testing.assert_array_equal(checked.hashes, other.hashes)
        assert (checked.num_bytes, checked.sizes) == (other.num_bytes, other.sizes)


def test_records_that_are_broken_are_listed_even_if_all_are(root):
    records = [example({"image": b"hello", "label": number % 2}) for number in range(10)]
    write_records(root / "train.tfrecord", records)
    report, told = check(f"tfrecord:{root}/train.tfrecord")
    assert told == 10 and len(report.broken) == 10 and not report.duplicates
    assert report.broken[0].where.startswith(f"{root}/train.tfrecord: record ")


def test_pixels_without_files():
    report, told = check("fake:60")
    assert told == 70 and not report.broken and not report.duplicates
    assert len({*report.splits["train"].hashes.tolist()}) == report.splits["train"].num_examples


def test_json_has_every_finding(root):
    (root / "train" / "ant" / "0.png").write_bytes(b"")
    (root / "test" / "bee" / "copy.jpg").write_bytes((root / "test" / "bee" / "1.jpg").read_bytes())
    events = [json.loads(line) for line in telling.json_lines(check(f"folder:{root}")[0])]
    assert [event["event"] for event in events] == ["split", "split", "split", "broken", "duplicate"]
    assert events[2]["classes"] == {"ant": 2, "bee": 3} and events[2]["sizes"] == [[24, 24, 2], [30, 30, 3]]
    assert events[3]["where"] == f"{root}/train/ant/0.png"
    assert sorted(member["where"] for member in events[4]["examples"]) == [
        f"{root}/test/bee/1.jpg",
        f"{root}/test/bee/copy.jpg",
    ]


def test_of_many_classes_the_rarest_and_the_commonest_are_shown():
    counts = np.arange(100, 0, -1)
    empty = np.zeros(0)
    checked = checking.Checked(counts, 0, {}, [], [], empty, empty, 1.0, 0.0, 0.0)
    report = checking.Report(tuple(f"c{i}" for i in range(100)), {"train": checked}, [])
    shown = [line.split() for line in telling.table(report)][4:]
    assert shown[0] == ["c99", "1"] and shown[19] == ["c80", "20"] and shown[20] == ["..."]
    assert shown[21] == ["c19", "81"] and shown[-1] == ["c0", "100"]
