"""Real command lines in processes of their own, without a GPU and without what this process set for TensorFlow."""

import functools
import os
import subprocess
import sys
from pathlib import Path

from fork_server import Forked, ForkServer

TESTS = Path(__file__).parent.parent
SMALL = ("--source=fake:600", "--model=dense", "--steps=20", "--checkpoint_every=10", "--intra_op_threads=1")
FORKED = ("train", "evaluate", "predict", "export", "inspect", "report", "data")  # they import TensorFlow themselves


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, less what would change what a command does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "CUDA_", "PYTEST_"))}
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS / "support")])
    return {**kept, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": paths, **changes}


def command(entry_point: str, *arguments) -> list[str]:
    """`python -m pipeline.ENTRY_POINT ARGUMENTS`."""
    return [sys.executable, "-m", f"pipeline.{entry_point}", *map(str, arguments)]


def run(entry_point: str, *arguments, prefix=(), fresh=False, **options) -> subprocess.CompletedProcess:
    """A command that was run to its end; `prefix` and `fresh` as of `start`, options those of subprocess.run."""
    given, timeout = options.pop("input", None), options.pop("timeout", 300)
    options |= {"stdin": subprocess.PIPE} if given is not None else {}
    with start(entry_point, *arguments, prefix=prefix, fresh=fresh, **options) as process:
        try:
            out, err = process.communicate(given, timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def start(entry_point: str, *arguments, prefix=(), fresh=False, **options) -> subprocess.Popen:
    """A command that runs, for the test to end; options are those of subprocess.Popen.

    prefix: words before those of the command. fresh: whether a Python must be started for it, also where it could be
    forked from one that has TensorFlow (fork_server.py).
    """
    is_forked = entry_point in FORKED and not prefix and not fresh
    return start_module(f"pipeline.{entry_point}", *arguments, prefix=prefix, fresh=not is_forked, **options)


def start_module(module: str, *arguments, prefix=(), fresh=False, **options) -> subprocess.Popen:
    """`python -m MODULE ARGUMENTS`, one that imports TensorFlow, perhaps of tests/support; as `start`."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()} | options
    words = [module, *map(str, arguments)]
    forkable = not fresh and not options.keys() - {"stdin", "stdout", "stderr", "env", "cwd"}
    if forkable and _fork_server().suits(options["env"]):
        return Forked(_fork_server(), words, text=True, **options)
    return subprocess.Popen([*prefix, sys.executable, "-m", *words], text=True, **options)


@functools.cache
def _fork_server() -> ForkServer:
    return ForkServer(environment())


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
