"""WebDataset shards: the examples found, their labels, and what is refused."""

import tarfile

import pytest
import tensorflow as tf
from picture_folders import encoded, fill
from PIL import Image
from shard_files import tar_members, write_tar

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import BadDataError

PNG = encoded(Image.new("L", (5, 6)), "PNG")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fill(tmp_path / "train")
    fill(tmp_path / "val", 2)
    (tmp_path / "tars").mkdir()
    write_tar(tmp_path / "tars" / "train-0.tar", tar_members(tmp_path / "train"))
    write_tar(tmp_path / "tars" / "val-0.tar", tar_members(tmp_path / "val", "json"))
    return tmp_path / "tars"


def open_splits(root, **flags):
    return sources.open_splits(Config(**{"source": f"tar:{root}/*.tar", "validation_fraction": 0.25, **flags}))


def all_of(source):
    raw, labels = source.fetch(tf.range(len(source), dtype=tf.int64))
    return source.decode(raw).numpy()[:, 0, 0, 0].tolist(), labels.numpy().tolist()


def refusal(root, **flags):
    with pytest.raises(BadDataError) as caught:
        open_splits(root, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_classes_by_their_texts(root):
    splits = open_splits(root)
    assert splits.train.class_names == ("ant", "bee")
    found = [all_of(split) for split in vars(splits).values()]
    assert [len(levels) for levels, _ in found] == [9, 3, 4]
    assert sorted(found[0][0] + found[1][0]) == [*range(10, 16), *range(200, 206)]
    assert sorted(found[2][0]) == [10, 11, 200, 201]
    assert all(labels == [int(level >= 200) for level in levels] for levels, labels in found)


def test_classes_by_number_from_0_with_names_from_a_file(root, tmp_path):
    for path in root.iterdir():
        if path.suffix == ".tar":
            path.unlink()
    members = {}
    for i in range(16):
        picture = encoded(Image.new("L", (5, 6), 10 * i), "PNG")
        members |= {f"{i:04}.a.txt": b"words", f"{i:04}.PNG": picture, f"{i:04}.cls": str(i % 2).encode()}
    write_tar(root / "shard.tar", members)
    (tmp_path / "names").write_text("even\nodd\n")
    splits = open_splits(root, class_names=str(tmp_path / "names"))
    assert splits.train.class_names == ("even", "odd")
    found = [all_of(split) for split in vars(splits).values()]
    assert sorted(level for levels, _ in found for level in levels) == [10 * i for i in range(16)]
    assert all(labels == [level // 10 % 2 for level in levels] for levels, labels in found)


BAD = {
    "no label": ({"a.png": PNG}, "a has no label; add a.cls or .json"),
    "no picture": (
        {"a.cls": b"1", "a.tiff": PNG},
        "a has a label and no .png, .jpg, .jpeg, .webp, .bmp, .gif file; add one",
    ),
    "two pictures": ({"a.png": PNG, "a.jpg": PNG, "a.cls": b"1"}, "a has two pictures; give each example a name"),
    "an empty label": ({"a.png": PNG, "a.cls": b""}, "a.cls holds no label; it needs a number or a text of one line"),
    "no JSON": ({"a.png": PNG, "a.json": b"{"}, 'a.json holds no label; it needs {"label": ...} with a number'),
    "JSON of another form": ({"a.png": PNG, "a.json": b"[1]"}, "a.json holds no label"),
    "a label in JSON that is none": ({"a.png": PNG, "a.json": b'{"label": [1]}'}, "a.json holds no label"),
    "a class that is none": ({"a.png": PNG, "a.cls": b"cow"}, "cow is no class of the training examples"),
    "a number": ({"a.png": PNG, "a.cls": b"1"}, "some files have numbers as labels and others words; give all"),
    "both": ({"a.png": PNG, "a.cls": b"1", "b.png": PNG, "b.cls": b"-1"}, "others words, as -1; give all the same"),
    "no picture in it": ({"a.png": b"?", "a.cls": b"ant"}, "val-0.tar: record 0 cannot be decoded ("),
}


@pytest.mark.parametrize("name", BAD)
def test_examples_that_cannot_be_used_are_named(root, name):
    members, said = BAD[name]
    write_tar(root / "val-0.tar", members)
    assert said in refusal(root)


@pytest.mark.parametrize("damage", [lambda content: content[:-10500], lambda content: b"x" * 2000])
def test_a_file_that_is_cut_off_or_no_tar_is_named(root, damage):
    path = root / "val-0.tar"
    path.write_bytes(damage(path.read_bytes()))
    message = refusal(root)
    assert message.startswith(f"{path} is damaged or no tar file (") and message.endswith("; replace it")


SIZES = {  # as the field of a header has them: in octal digits, or in 12 bytes of two's complement
    "beyond the file": b"77777777777\0",
    "beyond all files": b"\x80" + (2**70).to_bytes(11, "big"),
    "negative": (-512).to_bytes(12, "big", signed=True),
    "far back": (-10240).to_bytes(12, "big", signed=True),
    "no number": b"what's this?",
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"Z"])
def test_a_header_with_a_wrong_size_is_named(root, size, kind):
    path = root / "val-0.tar"
    content = bytearray(path.read_bytes())
    second = next(i for i in range(512, len(content), 512) if content[i + 257 : i + 262] == b"ustar")
    content[second + 124 : second + 136], content[second + 156 : second + 157] = SIZES[size], kind
    content[second + 148 : second + 156] = b" " * 8
    content[second + 148 : second + 156] = b"%06o\0 " % sum(content[second : second + 512])
    path.write_bytes(content)
    message = refusal(root)
    assert message.startswith(f"{path} is damaged or no tar file (") and message.endswith("; replace it")


ENDS = {
    "no end mark": lambda content: content.rstrip(b"\0").ljust(-(-len(content.rstrip(b"\0")) // 512) * 512, b"\0"),
    "another archive behind it": lambda content: content + content,
    "a damaged header": lambda content: damaged(content),
}


def damaged(content: bytes) -> bytes:
    """With a header of another checksum than stands in it, between two examples."""
    headers = [i for i in range(0, len(content), 512) if content[i + 257 : i + 262] == b"ustar"]
    place = next(i for i in headers[2:] if b".png" in content[i : i + 100])
    return content[:place] + b"?" + content[place + 1 :]


@pytest.mark.parametrize("name", ENDS)
def test_no_example_is_left_out_in_silence(root, name):
    path = root / "train-0.tar"
    path.write_bytes(ENDS[name](path.read_bytes()))
    message = refusal(root)
    assert message.startswith(f"{path} is damaged or no tar file (") and message.endswith("; replace it")


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE])
def test_links_are_no_examples(root, kind):
    write_tar(root / "val-0.tar", {"0.png": PNG, "0.cls": b"ant", "notes.txt": b"1"})
    with tarfile.open(root / "val-0.tar", "a") as archive:
        for name, target in (("notes.md", "notes.txt"), ("1.png", "0.png"), ("1.cls", "0.cls")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    assert "1.png is no file of its own, but a link or a device; pack files, as tar --deref" in refusal(root)
