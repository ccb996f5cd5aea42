"""Real command lines in processes of their own, without a GPU and without what this process set for TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
SMALL = ("--source=fake:600", "--model=dense", "--steps=20", "--checkpoint_every=10", "--intra_op_threads=2")


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, less what would change what a command does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "CUDA_", "PYTEST_"))}
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS / "support")])
    return {**kept, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": paths, **changes}


def command(entry_point: str, *arguments) -> list[str]:
    """`python -m pipeline.ENTRY_POINT ARGUMENTS`."""
    return [sys.executable, "-m", f"pipeline.{entry_point}", *map(str, arguments)]


def run(entry_point: str, *arguments, prefix=(), **options) -> subprocess.CompletedProcess:
    """A command that was run to its end, after the words in `prefix`; options are those of subprocess.run."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(), "timeout": 300} | options
    return subprocess.run([*prefix, *command(entry_point, *arguments)], text=True, **options)


def start(entry_point: str, *arguments, prefix=(), **options) -> subprocess.Popen:
    """A command that runs, for the test to end, after the words in `prefix`; options are those of subprocess.Popen."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()} | options
    return subprocess.Popen([*prefix, *command(entry_point, *arguments)], text=True, **options)


def succeed(entry_point: str, *arguments, **options) -> str:
    """What a command prints that ends well and has nothing to say on stderr."""
    ended = run(entry_point, *arguments, **options)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def refuse(code: int, entry_point: str, *arguments, **options) -> str:
    """The one line on stderr of a command that ends with `code`."""
    ended = run(entry_point, *arguments, **options)
    assert ended.returncode == code, ended.stderr
    assert ended.stderr.count("\n") == 1 and ended.stderr.endswith("\n"), ended.stderr
    return ended.stderr.strip()


def contents(directory: Path) -> dict[str, bytes | None]:
    """Everything below a directory: what the files hold, None for directories."""
    return {str(p.relative_to(directory)): p.read_bytes() if p.is_file() else None for p in directory.rglob("*")}
