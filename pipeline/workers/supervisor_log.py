"""The supervisor's account, a line for each act: on stderr, and in the run directory once there is one."""

import contextlib
import socket
import time
from pathlib import Path

from pipeline.process import standard_error


class SupervisorLog:
    """Lines to stderr and to R/logs/supervisor-HOST.log. R is the trainer's to make: until then lines are kept."""

    def __init__(self, run_dir: Path):
        self._run_dir = run_dir
        self._path = run_dir / "logs" / f"supervisor-{socket.gethostname()}.log"
        self._kept: list[str] = []

    def say(self, line: str) -> None:
        """Writes a line. A disk that is full stops nobody: stderr has it too."""
        self._kept.append(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        standard_error.tell(f"supervisor: {line}")
        with contextlib.suppress(OSError):
            if self._run_dir.is_dir():
                self._path.parent.mkdir(exist_ok=True)
                with self._path.open("a") as log:
                    log.writelines(self._kept)
                self._kept = []
