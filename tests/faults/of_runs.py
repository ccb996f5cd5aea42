"""Faults of a run directory: each harms what lies there, and says how in a few words; '' where it does not apply."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.faults.of_files import delete, directory, empty, fifo, truncate
from tests.faults.world import BEFORE, Try

CHECKPOINTS = (BEFORE // 2, BEFORE)
DEEP = b"[" * 100_000
VALUES = (None, True, -1, 0, 1e308, 2**70, "", "x", [], {}, [[]], {"a": 1}, "\udcff\0")


def _files(tried: Try) -> list[Path]:
    return sorted(path for path in tried.run.rglob("*") if path.is_file() and path.name != "notes.txt")


def _any_file(tried: Try) -> Path | None:
    """A file of the run; one of a checkpoint as often as not."""
    found = _files(tried)
    weighty = [path for path in found if path.parent.name == "checkpoints"]
    return tried.draws.choice(tried.draws.choice((weighty or found, found))) if found else None


def _remark(tried: Try, path: Path) -> str:
    """The path within the run; notes what may be others after it was harmed."""
    name = str(path.relative_to(tried.run))
    tried.other_scores |= name == "config.flags"
    return name


def one_file(change: Callable[[Try, Path], None]) -> Callable[[Try], str]:
    """A fault of any one file of the run."""

    def fault(tried: Try) -> str:
        if (path := _any_file(tried)) is None:
            return ""
        change(tried, path)
        return f"{change.__name__.strip('_')} {_remark(tried, path)}"

    fault.__name__ = change.__name__.strip("_")
    return fault


def _flip(tried: Try, path: Path) -> None:
    content = bytearray(path.read_bytes()) or bytearray(b"\0")
    content[tried.draws.randrange(len(content))] ^= 1 << tried.draws.randrange(8)
    path.write_bytes(content)


def _full_directory(tried: Try, path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("of somebody")


def _link_to_zero(tried: Try, path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _link_to_nothing(tried: Try, path: Path) -> None:
    path.unlink()
    path.symlink_to(tried.root / "nothing")


def _link_to_itself(tried: Try, path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _garbage(tried: Try, path: Path) -> None:
    path.write_bytes(tried.draws.randbytes(tried.draws.choice((1, 50, 5000))))


def _garbage_behind(tried: Try, path: Path) -> None:
    with path.open("ab") as file:
        file.write(tried.draws.choice((b"\0" * 100, tried.draws.randbytes(30), b"\xff\xfe\n", DEEP + b"\n", b"[]\n")))


def _other_line_ends(tried: Try, path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def _deep(tried: Try, path: Path) -> None:
    path.write_bytes(DEEP)


def _unreadable(tried: Try, path: Path) -> None:
    mind_permissions(tried)
    path.chmod(0o200)


def _not_writable(tried: Try, path: Path) -> None:
    mind_permissions(tried)
    path.chmod(0o400)


def mind_permissions(tried: Try) -> None:
    """Lets the command run as a user for whom permissions count, also where it is root's."""
    tried.conditions["mind_permissions"] = True


def a_directory_without_permission(tried: Try) -> str:
    mind_permissions(tried)
    name = tried.draws.choice((".", "checkpoints", "tensorboard", "tensorboard/train"))
    mode = tried.draws.choice((0, 0o100, 0o400, 0o500))
    path = tried.run / name
    if not path.is_dir() or path.is_symlink():
        return ""
    tried.undo.append(lambda: path.chmod(0o700))
    path.chmod(mode)
    return f"chmod {mode:o} {name}"


def swap_checkpoints(tried: Try) -> str:
    end = tried.draws.choice(("index", "data-00000-of-00001", "manifest.json"))
    paths = [tried.run / "checkpoints" / f"ckpt-{step}.{end}" for step in CHECKPOINTS]
    if not all(path.is_file() for path in paths):
        return ""
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, reversed(contents), strict=True):
        path.write_bytes(content)
    return f"swap .{end} of the checkpoints"


def reseal(tried: Try) -> str:
    """A manifest whose own hash is right, and one of whose fields is of another type or value."""
    path = tried.run / "checkpoints" / f"ckpt-{tried.draws.choice(CHECKPOINTS)}.manifest.json"
    try:
        fields = json.loads(path.read_bytes())
        del fields["sha256"]
        place, name = fields, tried.draws.choice(sorted(fields))
        while isinstance(place[name], dict) and place[name] and tried.draws.random() < 0.7:
            place, name = place[name], tried.draws.choice(sorted(place[name]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    if name == "fingerprint":  # "" stands for a manifest that was made before there was one
        tried.other_scores = True
    value = tried.draws.choice(VALUES)
    kind = tried.draws.choice(("set", "delete", "add"))
    if kind == "set":
        place[name] = value
    elif kind == "delete":
        del place[name]
    else:
        place["more"] = value
    text = json.dumps(fields, sort_keys=True)
    path.write_text(json.dumps({**fields, "sha256": hashlib.sha256(text.encode()).hexdigest()}))
    return f"reseal {path.name}: {kind} {name} {value!r}"


def metrics_value(tried: Try) -> str:
    """A line of metrics.jsonl with a value of another type."""
    path = tried.run / "metrics.jsonl"
    try:
        lines = path.read_text().splitlines()
        number = tried.draws.randrange(len(lines))
        event = json.loads(lines[number])
        name = tried.draws.choice(sorted(event))
    except (OSError, ValueError, TypeError, IndexError, RecursionError):
        return ""
    if name == "step":  # of a later step the line says: it is cut, as after a kill
        return ""
    value = tried.draws.choice(VALUES)
    event[name] = value
    lines[number] = json.dumps(event)
    path.write_text("\n".join(lines) + "\n")
    return f"metrics.jsonl line {number + 1}: {name} = {value!r}"


def lock_content(tried: Try) -> str:
    owner = {"name": "process 1 on h", "host": "h", "token": "t", "life": {"job": "1", "number": 1}}
    place = tried.draws.choice((owner, owner["life"]))
    place[tried.draws.choice(sorted(place))] = tried.draws.choice(VALUES)
    path = tried.run / "lock"
    if not path.is_file():
        return ""
    path.write_text(json.dumps(owner))
    return f"lock holds {json.dumps(owner)}"


def stop_file(tried: Try) -> str:
    path = tried.run / "stop"
    kind = tried.draws.choice(("file", "directory", "full directory", "link"))
    if os.path.lexists(path):
        return ""
    if kind == "file":
        path.touch()
    elif kind == "link":
        path.symlink_to("nothing")
    else:
        path.mkdir()
    if kind == "full directory":
        (path / "mine.txt").write_text("of somebody")
    return f"stop is a {kind}"


def checkpoints_directory(tried: Try) -> str:
    path = tried.run / "checkpoints"
    if not path.is_dir() or path.is_symlink():
        return ""
    kind = tried.draws.choice(("missing", "empty", "file", "link to nothing", "link", "link to itself", "fifo"))
    if kind == "link":
        path.rename(tried.root / "elsewhere")
        path.symlink_to(tried.root / "elsewhere")
        return "checkpoints is a link"
    shutil.rmtree(path)
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.touch()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind != "missing":
        path.symlink_to("nothing" if kind == "link to nothing" else "checkpoints")
    return f"checkpoints is {kind}"


def stray_entry(tried: Try) -> str:
    """Something beside the files of the run that its code may take for its own."""
    name = tried.draws.choice(
        (
            "checkpoints/ckpt-99.index", "checkpoints/ckpt-99.manifest.json", "checkpoints/.writing-ckpt-9-1",
            "checkpoints/ckpt-4.index.bak", "checkpoints/damaged-ckpt-4.index", "checkpoints/ckpt-٣.index",
            "checkpoints/ckpt-0.manifest.json", f"checkpoints/ckpt-{10**30}.index", "unfinished.jsonl",
            "unfinished.flags", "unfinished.txt", "tensorboard/train/events.out.tfevents.1x.y",
            "tensorboard/train/events.out.tfevents.9999999999999.vm", "tensorboard/other/events.out.tfevents.1.vm",
            "tensorboard/train/unfinished.vm", "report.html", "unfinished.html", "exports", "exports/tflite/x",
            "exports/tflite/.writing-old", "exports/tflite/1", "exports/tflite/9999999999999999999999", "logs",
            "checkpoints/\udcff.index",
        )
    )  # fmt: skip
    path = tried.run / name
    if os.path.lexists(path) or not tried.run.is_dir():
        return ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = tried.draws.choice(("file", "directory", "fifo", "link"))
        make = {"file": path.touch, "directory": path.mkdir, "fifo": lambda: os.mkfifo(path)}
        make.get(kind, lambda: path.symlink_to("nothing"))()
    except OSError:
        return ""
    return f"a {kind} {name!a}"


def tensorboard(tried: Try) -> str:
    path = tried.run / tried.draws.choice(("tensorboard", "tensorboard/train", "tensorboard/test"))
    if not path.is_dir():
        return ""
    kind = tried.draws.choice(("missing", "file", "link to nothing", "link", "fifo"))
    if kind == "link":
        path.rename(tried.root / "events")
        path.symlink_to(tried.root / "events")
    else:
        shutil.rmtree(path)
        make = {"file": path.touch, "fifo": lambda: os.mkfifo(path), "missing": lambda: None}
        make.get(kind, lambda: path.symlink_to("nothing"))()
    return f"{path.relative_to(tried.run)} is {kind}"


NAMES = (
    "a[1]",
    "a*",
    "?",
    "with space",
    " ",
    "größe",
    "一",
    "line\nbreak",
    "\udcff",
    "-run",
    "a%s{0}",
    "x" * 200,
    "'\"",
)


def name(tried: Try) -> str:
    """Another name of the directory, since two starts ago or for good."""
    if tried.run != tried.root / "run":
        return ""
    chosen = tried.draws.choice(NAMES)
    tried.run = tried.run.rename(tried.root / chosen)
    tried.run_dir = chosen
    return f"run_dir is called {chosen!a}"


def way(tried: Try) -> str:
    """Another way to write the path."""
    plain = tried.run_dir
    ways = {
        "a slash": plain + "/", "dots": f"./x/../{plain}", "absolute": str(tried.run),
        "two slashes": f".//{plain}", "dot behind": f"{plain}/.", "a link": "linked",
    }  # fmt: skip
    if os.path.lexists(tried.root / "linked"):
        return ""
    kind = tried.draws.choice(sorted(ways))
    if kind == "dots":
        (tried.root / "x").mkdir(exist_ok=True)
    (tried.root / "linked").symlink_to(tried.run)
    tried.run_dir = ways[kind]
    return f"run_dir by {kind}"


def config_line(tried: Try) -> str:
    path = tried.run / "config.flags"
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError):
        return ""
    tried.other_scores = True
    number = tried.draws.randrange(len(lines) or 1)
    value = tried.draws.choice(
        ("", "x", "-1", "0", "1e999", "nan", "true", "99999999999999999999", "\0", "--", "é", "==")
    )
    kind = tried.draws.choice(("set", "twice", "lost", "unknown", "spaces"))
    line = re.sub("=.*", f"={value}", lines[number]) if kind == "set" else lines[number]
    changed = {"set": [line], "twice": [line] * 2, "lost": [], "unknown": ["--unheard_of=1"], "spaces": [f"  {line} "]}
    lines[number : number + 1] = changed[kind]
    path.write_text("".join(f"{line}\n" for line in lines))
    return f"config.flags: {kind} {line!a}"


FILE_FAULTS = [
    one_file(change)
    for change in (
        truncate, _flip, delete, empty, fifo, directory, _full_directory, _link_to_zero, _link_to_nothing,
        _link_to_itself, _garbage, _garbage_behind, _other_line_ends, _deep, _unreadable, _not_writable,
    )
]  # fmt: skip
FAULTS = [
    *FILE_FAULTS, a_directory_without_permission, swap_checkpoints, reseal, reseal, metrics_value, lock_content,
    stop_file, checkpoints_directory, stray_entry, stray_entry, tensorboard, name, way, config_line,
]  # fmt: skip
