"""The launch scripts as tests run them: with the project's own .venv, in the project's directory."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from pipeline.runs.run_directory import RunDirectory

PROJECT = Path(__file__).parents[3]
LAUNCH = PROJECT / "launch"
DEADLINE_S = 240
STEPS = 300
FLAGS = (
    "--source=fake:600",
    "--model=hidden",
    "--global_batch=24",
    "--grad_shards=2",
    "--intra_op_threads=1",
    f"--steps={STEPS}",
    "--log_every=10",
    "--checkpoint_every=20",
    "--eval_every=0",
)


def missing() -> str:
    """Why the launch scripts cannot be run here; '' if they can."""
    asked = f"source {LAUNCH}/venv.sh && is_installed ''"
    ready = subprocess.run(["bash", "-c", asked], capture_output=True).returncode == 0
    return "" if ready else "launch scripts need .venv as ./launch/test.sh makes it"


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, as a user's shell would have it: without GPUs, and without a word of TensorFlow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "PYTHON", "PYTEST_"))}
    return {**kept, "CUDA_VISIBLE_DEVICES": "-1", **changes}


def processes(run_dir: Path, module: str = "") -> list[int]:
    """Those of a run's supervisors and workers, or of one module alone, wherever they live and whoever started them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if {b"-m", f"--run_dir={run_dir}".encode()} <= set(words) and (not module or module.encode() in words):
                found.append(int(path.parts[2]))
    return found


def _has_a_signal(process: int) -> bool:
    """Whether a signal waits for a process that is stopped."""
    status = Path(f"/proc/{process}/status").read_text()
    [pending] = [line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd:")]
    return int(pending, 16) != 0


class Launched:
    """A launcher that runs."""

    def __init__(self, process: subprocess.Popen, run_dir: Path):
        self.process, self.run = process, RunDirectory(run_dir)

    def workers(self) -> list[int]:
        """The processes of its supervisors and workers."""
        return processes(self.run.path)

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits for a condition."""
        give_up = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < give_up
            time.sleep(0.1)

    def last_step(self) -> int:
        """The last step that was logged."""
        return max((event["step"] for event in self.run.history().events if event["event"] == "train"), default=0)

    def until_step(self, step: int) -> None:
        """Waits for a step to be logged."""

        def logged() -> bool:
            assert self.process.poll() is None, self.process.communicate()
            return self.last_step() >= step

        self.until(logged)

    def until_others(self, before: Collection[int]) -> None:
        """Waits until as many other trainers have been started."""
        self.until(lambda: len(set(processes(self.run.path, "pipeline.train")) - set(before)) == len(before))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Stops the trainers until a signal has come to each, for which what is done inside is to care.

        So none comes to the end of its work before it does.
        """
        trainers = processes(self.run.path, "pipeline.train")
        for process in trainers:
            os.kill(process, signal.SIGSTOP)
        yield
        self.until(lambda: all(map(_has_a_signal, trainers)))
        for process in trainers:
            os.kill(process, signal.SIGCONT)

    def end(self) -> tuple[int, str, str]:
        """Waits for the end: exit code, stdout, stderr."""
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err


@contextlib.contextmanager
def launched(command: list, run_dir: Path) -> Iterator[Launched]:
    """A launcher that was started; whatever it started ends with the `with`."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    live = Launched(subprocess.Popen(command, text=True, env=environment(), **pipes), run_dir)
    try:
        yield live
    finally:
        live.process.kill()
        live.process.communicate()
        for process in live.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
