"""Faults of a folder of pictures, between two starts of a run that is trained on it."""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faults.of_files import delete, directory, empty, fifo, truncate
from tests.faults.world import Try


def _pictures(tried: Try) -> list[Path]:
    """Of the data, or of what is to be looked at where the command only looks."""
    where = tried.root / "look" if tried.command == "predict" else tried.data
    return sorted(path for path in where.rglob("*") if path.is_file())


def one_picture(change: Callable[[Try, Path], str | None]) -> Callable[[Try], str]:
    """A fault of any one picture."""

    def fault(tried: Try) -> str:
        found = _pictures(tried)
        if not found:
            return ""
        path = tried.draws.choice(found)
        name = path.relative_to(tried.root)
        tried.other_scores = True
        said = change(tried, path)
        return f"{change.__name__.strip('_')} {name}{f' ({said})' if said else ''}"

    fault.__name__ = change.__name__.strip("_")
    return fault


def _flip(tried: Try, path: Path) -> None:
    content = bytearray(path.read_bytes()) or bytearray(b"\0")
    for _ in range(tried.draws.choice((1, 1, 5, 40))):
        content[tried.draws.randrange(len(content))] ^= 1 << tried.draws.randrange(8)
    path.write_bytes(content)


def _cut_inside(tried: Try, path: Path) -> None:
    content = path.read_bytes()
    first = tried.draws.randrange(max(1, len(content)))
    path.write_bytes(content[:first] + content[first + tried.draws.randrange(1, 60) :])


def _link(tried: Try, path: Path) -> str:
    target = tried.draws.choice(("/dev/zero", "nothing", path.name, ".", "..", "/", "elsewhere"))
    moved = tried.root / "elsewhere.png"
    if target == "elsewhere":
        if moved.exists():
            return "none"
        path.rename(moved)
        path.symlink_to(moved)
    else:
        path.unlink()
        path.symlink_to(target)
    return f"to {target}"


def _rename(tried: Try, path: Path) -> str:
    name = tried.draws.choice(
        ("x.PNG", "x.gif", "x", ".hidden.png", "a b.jpg", "\udcff.png", "é.png", "l\n.jpg", "[1].png")
    )
    path.rename(path.with_name(name))
    return ascii(name)


def _other_class(tried: Try, path: Path) -> None:
    other = path.parent.with_name({"ant": "bee"}.get(path.parent.name, "ant"))
    other.mkdir(exist_ok=True)
    path.rename(other / f"moved-{path.name}")


def _replace(tried: Try, path: Path) -> str:
    """Another whole picture: of another mode, size or format."""
    mode = tried.draws.choice(("L", "LA", "RGB", "RGBA", "P", "CMYK", "1", "I;16", "YCbCr"))
    kind = tried.draws.choice(("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"))
    size = tried.draws.choice((8, 8, 8, 1, 9, 300))
    noise = Image.fromarray(np.random.default_rng(size).integers(0, 256, (size, size, 3), np.uint8))
    buffer = io.BytesIO()
    try:
        picture = noise.convert("L").convert("I;16") if mode == "I;16" else noise.convert(mode)
        picture.save(buffer, kind)
    except (OSError, ValueError, KeyError):
        noise.save(buffer, kind)
    path.write_bytes(buffer.getvalue())
    return f"{mode} {kind} {size}"


def _swap(tried: Try, path: Path) -> None:
    other = tried.draws.choice(_pictures(tried))
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)


def _no_picture(tried: Try, path: Path) -> None:
    path.write_bytes(
        tried.draws.choice((b"<!doctype html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"PK\3\4" * 99, b"\0"))
    )


def structure(tried: Try) -> str:
    """What lies around the pictures."""
    data = tried.data
    if not (data / "train" / "ant").is_dir():
        return ""
    tried.other_scores = True
    kinds: dict[str, Callable[[], object]] = {
        "val": lambda: shutil.copytree(data / "test", data / "val"),
        "validation": lambda: shutil.copytree(data / "test", data / "validation"),
        "a class more": lambda: shutil.copytree(data / "train/ant", data / "train/cow"),
        "a class less": lambda: shutil.rmtree(data / "train/ant"),
        "a class of the test less": lambda: shutil.rmtree(data / "test/ant"),
        "no test": lambda: shutil.rmtree(data / "test"),
        "no data": lambda: shutil.rmtree(data),
        "a class that is no text": lambda: (data / "train/\udcff").mkdir(),
        "a class called in another case": lambda: (data / "train/ant").rename(data / "train/Ant"),
        "a hidden class": lambda: shutil.copytree(data / "train/ant", data / "train/.cow"),
        "nested": lambda: shutil.copytree(data / "train/bee", data / "train/ant/more"),
        "a loop": lambda: (data / "train/ant/loop").symlink_to(".."),
        "a class that is a loop": lambda: (data / "train/cow").symlink_to("."),
        "a link for a class": lambda: (
            (data / "train/ant").rename(tried.root / "ants"),
            (data / "train/ant").symlink_to(tried.root / "ants"),
        ),
        "a link for data": lambda: (data.rename(tried.root / "far"), data.symlink_to("far")),
        "a file for data": lambda: (shutil.rmtree(data), data.touch()),
        "data that is a loop": lambda: (shutil.rmtree(data), data.symlink_to("data")),
        "other files": lambda: [(data / "train/ant" / n).touch() for n in ("Thumbs.db", "readme.md", "x.png.part")],
        "a fifo": lambda: os.mkfifo(data / "train/ant/pipe"),
        "a fifo for a split": lambda: os.mkfifo(data / "validation"),
        "an empty class": lambda: (data / "train/cow").mkdir(),
        "strange classes": lambda: [
            (d / "ant").rename(d / "a*[1] ?") for d in (data / "train", data / "test") if (d / "ant").is_dir()
        ],
    }
    kind = tried.draws.choice(sorted(kinds))
    try:
        kinds[kind]()
    except OSError:
        return ""
    return f"data: {kind}"


FAULTS = [
    *map(
        one_picture,
        (
            _flip, _flip, truncate, _cut_inside, delete, empty, fifo, directory, _link, _link, _rename,
            _other_class, _replace, _replace, _swap, _no_picture,
        ),
    ),
    structure, structure, structure, structure,
]  # fmt: skip
