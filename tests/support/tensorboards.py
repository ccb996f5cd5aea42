"""A real TensorBoard, and what it answers through its own data API."""

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path


class TensorBoard:
    """A TensorBoard process that watches a directory, until `end`."""

    def __init__(self, directory: Path, *flags: str, cwd: Path | None = None):
        address = ["--logdir", directory, "--host", "127.0.0.1", "--port", "0", "--reload_interval", "1"]
        command = [sys.executable, "-m", "tensorboard.main", *address, *flags]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd)
        self.url = next(filter(None, (re.search(r"http://127.0.0.1:\d+", line) for line in self._process.stdout)))[0]

    def get(self, plugin: str, **query: str) -> str:
        with urllib.request.urlopen(f"{self.url}/data/plugin/{plugin}?{urllib.parse.urlencode(query)}") as response:
            return response.read().decode()

    def points(self, run: str, tag: str, steps: list[int]) -> list[float]:
        """The values of a chart, once it shows just these steps."""
        deadline, shown = time.monotonic() + 60, None
        while True:
            with contextlib.suppress(urllib.error.HTTPError):  # the run or tag is not there yet
                shown = json.loads(self.get("scalars/scalars", run=run, tag=tag))
                if [step for _, step, _ in shown] == steps:
                    return [value for _, _, value in shown]
            assert time.monotonic() < deadline, f"{run} {tag} shows {shown}, not steps {steps}"
            time.sleep(0.2)

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)
        self._process.stdout.close()
