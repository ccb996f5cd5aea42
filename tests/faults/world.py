"""One try: a copy of an undisturbed run with what lies around it, and the command that faults are put before."""

import contextlib
import dataclasses
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import commands
import numpy as np
from fork_server import Forked
from PIL import Image

BEFORE, AFTER = 4, 8  # the step at which the run of each try stands, and the one that it goes on to
TIMEOUT_S = 240
FLAGS = (
    *("--model=models_for_tests:linear", "--global_batch=5", f"--checkpoint_every={BEFORE // 2}", "--eval_every=4"),
    *("--eval_batch=16", "--log_every=1", "--steps_per_loop=2", "--keep_checkpoints=10", "--intra_op_threads=2"),
)
SOURCES = {"fake": ("--source=fake:60",), "folder": ("--source=folder:data", "--validation_fraction=0.2")}
COMMANDS = ("train", "evaluate", "predict", "inspect", "report", "export")
MENDABLE = ("surroundings", "ending")  # kinds of faults after which a start under good conditions goes on


@dataclasses.dataclass
class Try:
    """What a try is made of. Faults change it, and the files below `root`."""

    root: Path  # the working directory of the command
    source: str
    command: str
    draws: random.Random
    run_dir: str = "run"  # as it is given to the command
    run: Path = Path()  # where it lies
    environment: dict[str, str | None] = dataclasses.field(default_factory=dict)  # None: unset
    conditions: dict = dataclasses.field(default_factory=dict)
    streams: dict[str, str] = dataclasses.field(default_factory=dict)  # stdout etc. -> closed, full, gone
    sent: tuple[signal.Signals, float] | None = None  # which, and after how many seconds
    fresh: bool = False  # a Python of its own
    kinds: list[str] = dataclasses.field(default_factory=list)
    told: list[str] = dataclasses.field(default_factory=list)
    other_scores: bool = False  # the examples are others, so scores and predictions may be
    other_bits: bool = False  # a variable is set that changes numbers, which a training tells
    undo: list[Callable[[], object]] = dataclasses.field(default_factory=list)

    @property
    def data(self) -> Path:
        """The folder of pictures."""
        return self.root / "data"

    @property
    def arguments(self) -> list[str]:
        """Those of the command."""
        given = {
            "train": (*FLAGS, *SOURCES[self.source], f"--steps={AFTER}"),
            "predict": ("--format=json", "look"),
            "report": ("--noscore",) if self.source == "fake" else (),
            "export": ("--format=tflite",),
        }
        return [f"--run_dir={self.run_dir}", *given.get(self.command, ())]

    @property
    def mendable(self) -> bool:
        """Whether nothing on the disk was harmed: the same command under good conditions must then succeed."""
        return set(self.kinds) <= set(MENDABLE)


@dataclasses.dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    heard: bool = True  # whether all of stdout and stderr could be read

    @property
    def last(self) -> dict:
        """The JSON object in the last line of stdout; {} where there is none."""
        try:
            return dict(json.loads(self.out.splitlines()[-1]))
        except (ValueError, IndexError, TypeError):
            return {}


def pictures(directory: Path, count: int, seed: int) -> None:
    """Classes ant and bee of small noisy pictures, PNG and JPEG by turns."""
    noise = np.random.default_rng(seed)
    for label, name in enumerate(("ant", "bee")):
        (directory / name).mkdir(parents=True)
        for i in range(count):
            pixels = noise.integers(0, 128, (8, 8, 3), np.uint8) + 100 * label
            Image.fromarray(pixels.astype(np.uint8)).save(directory / name / f"{i}.{('png', 'jpg')[i % 2]}")


def make(root: Path, source: str) -> None:
    """A directory with the data, pictures to look at, a file of somebody else, and a run of BEFORE steps."""
    pictures(root / "data" / "train", 12, 1)
    pictures(root / "data" / "test", 6, 2)
    pictures(root / "look", 3, 3)
    (root / "beside.txt").write_text("not of the run\n")
    commands.succeed("train", *FLAGS, *SOURCES[source], "--run_dir=run", f"--steps={BEFORE}", cwd=root)
    (root / "run" / "notes.txt").write_text("of its user\n")


class Undisturbed:
    """Runs that nothing happens to, and what commands say of them; each is made when it is first asked for."""

    def __init__(self, root: Path):
        self._root = root
        self._said: dict[tuple, object] = {}

    def at(self, source: str, step: int) -> Path:
        """The directory in which the run stands at this step."""
        path = self._root / f"{source}-{step}"
        if not path.exists():
            if step == BEFORE:
                path.mkdir()
                make(path, source)
            else:
                shutil.copytree(self.at(source, BEFORE), path)
                commands.succeed("train", *FLAGS, *SOURCES[source], "--run_dir=run", f"--steps={AFTER}", cwd=path)
        return path

    def hash(self, source: str, step: int) -> str:
        """The parameters_sha256 at a step."""
        manifest = self.at(source, BEFORE if step <= BEFORE else AFTER) / f"run/checkpoints/ckpt-{step}.manifest.json"
        return json.loads(manifest.read_text())["parameters_sha256"]

    def said(self, source: str, command: str, *arguments: str) -> str:
        """What a reading command prints."""
        key = (source, command, arguments)
        if key not in self._said:
            self._said[key] = commands.succeed(command, "--run_dir=run", *arguments, cwd=self.at(source, BEFORE))
        return str(self._said[key])


@contextlib.contextmanager
def a_try(undisturbed: Undisturbed, source: str, command: str, draws: random.Random) -> Iterator[Try]:
    """A copy of the undisturbed world to do harm to; it is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as directory:
        root = Path(directory, "here")
        shutil.copytree(undisturbed.at(source, BEFORE), root, symlinks=True)
        tried = Try(root, source, command, draws, run=root / "run")
        try:
            yield tried
        finally:
            for undo in tried.undo:
                undo()


def snapshot(root: Path) -> dict[bytes, str]:
    """Every path below a directory: a file's hash, a link's target, or what else it is. Links are not followed."""
    found = {}
    for directory, names, files in os.walk(os.fsencode(root)):
        for name in (*names, *files):
            path = os.path.join(directory, name)
            found[os.path.relpath(path, os.fsencode(root))] = _what(path)
    return found


def _what(path: bytes) -> str:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return f"link to {os.readlink(path)!r}"
    if not stat.S_ISREG(mode):
        return f"special {stat.S_IFMT(mode)}"
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) else _hash(file)


def _hash(file) -> str:
    return hashlib.sha256(file.read()).hexdigest()


def execute(tried: Try) -> Ended:
    """Runs the command of a try to its end; -9 where it had to be killed for it took too long."""
    environment = {k: v for k, v in (commands.environment() | tried.environment).items() if v is not None}
    words = commands.command(tried.command, *tried.arguments)
    if tried.conditions:
        at = words.index("-m")
        words[at + 1 : at + 2] = ["tests.faults.under", json.dumps(tried.conditions), words[at + 1]]
    closed = "".join(f" {number}>&-" for number, name in enumerate(STREAMS) if tried.streams.get(name) == "closed")
    if closed:
        words = ["sh", "-c", f'exec "$@"{closed}', "sh", *words]
    with _streams(tried) as streams:
        server = commands._fork_server()
        if tried.fresh or closed or not server.suits(environment):
            process = subprocess.Popen(words, env=environment, cwd=tried.root, text=True, errors="replace", **streams)
        else:
            options = {"env": environment, "cwd": tried.root, "text": True, "errors": "replace", **streams}
            process = Forked(server, words[2:], **options)
        with process:
            if tried.sent:
                number, seconds = tried.sent
                threading.Timer(seconds, lambda: process.poll() is None and process.send_signal(number)).start()
            try:
                out, err = process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                return Ended(-9, out or "", f"{err or ''}HANGS\n")
    return Ended(process.returncode, out or "", err or "", not tried.streams)


STREAMS = ("stdin", "stdout", "stderr")


@contextlib.contextmanager
def _streams(tried: Try) -> Iterator[dict]:
    """stdin, stdout and stderr for a Popen."""
    given: dict = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    opened = []
    for name, fate in tried.streams.items():
        if fate == "full":
            opened.append(os.open("/dev/full", os.O_WRONLY))
        elif fate == "gone":
            reading, writing = os.pipe()
            os.close(reading)
            opened.append(writing)
        else:
            opened.append(os.open(os.devnull, os.O_RDWR))  # closed by the shell before the command
        given[name] = opened[-1]
    try:
        yield given
    finally:
        for descriptor in opened:
            os.close(descriptor)


def pause() -> None:
    """Lets a signal that was late come."""
    time.sleep(0.01)
