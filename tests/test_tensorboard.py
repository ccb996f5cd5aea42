"""A real TensorBoard, open while a run is told, killed and resumed, answers through its own data API."""

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

import pytest
from told_run import loss, start, tell


class TensorBoard:
    """A TensorBoard process that watches a directory."""

    def __init__(self, directory: Path, *flags: str):
        address = ["--logdir", directory, "--host", "127.0.0.1", "--port", "0", "--reload_interval", "1"]
        command = [sys.executable, "-m", "tensorboard.main", *address, *flags]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._url = next(filter(None, (re.search(r"http://127.0.0.1:\d+", line) for line in self._process.stdout)))[0]

    def get(self, plugin: str, **query: str) -> str:
        with urllib.request.urlopen(f"{self._url}/data/plugin/{plugin}?{urllib.parse.urlencode(query)}") as response:
            return response.read().decode()

    def points(self, run: str, tag: str, steps: list[int]) -> list[float]:
        """The values of a chart, once it shows just these steps."""
        deadline, shown = time.monotonic() + 20, None
        while True:
            with contextlib.suppress(urllib.error.HTTPError):  # the run or tag is not there yet
                shown = json.loads(self.get("scalars/scalars", run=run, tag=tag))
                if [step for _, step, _ in shown] == steps:
                    return [value for _, _, value in shown]
            assert time.monotonic() < deadline, f"{run} {tag} shows {shown}, not steps {steps}"
            time.sleep(0.2)

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        self._process.stdout.close()


@pytest.fixture(params=["true", "false"])
def tensorboard(request, tmp_path):
    """TensorBoard with its data server, and with its Python reader: they purge by different rules."""
    server = TensorBoard(tmp_path, f"--load_fast={request.param}")
    yield server
    server.end()


def test_a_live_tensorboard_shows_all_that_was_told_and_no_step_twice(tmp_path, tensorboard):
    run_dir = tmp_path / "run"
    tell(start(run_dir, 0), 1, 6)
    assert tensorboard.points("run/tensorboard/train", "loss", [1, 2, 3, 4, 5, 6])[2] == pytest.approx(loss(3))
    assert tensorboard.points("run/tensorboard/validation", "loss", [2, 4, 6])[0] == pytest.approx(loss(2) + 1)

    journal = start(run_dir, 4)
    journal.scalars("train", 5, {"loss": 50.0})
    assert tensorboard.points("run/tensorboard/train", "loss", [1, 2, 3, 4, 5])[-1] == 50.0
    journal.scalars("validation", 5, {"loss": 51.0})
    assert tensorboard.points("run/tensorboard/validation", "loss", [2, 4, 5])[-1] == 51.0

    histograms = tensorboard.get("histograms/histograms", run="run/tensorboard/train", tag="parameters/conv1/kernel")
    assert [step for _, step, _ in json.loads(histograms)][:2] == [2, 4]
    [text] = [
        text
        for text in json.loads(tensorboard.get("text/text", run="run/tensorboard/train", tag="configuration"))
        if text["step"] == 4
    ]
    assert re.search(r"<td><code>towers</code></td>\s*<td><code>2</code></td>", text["text"])
    assert re.search(r'name: "x"\s*op: "Const"', tensorboard.get("graphs/graph", run="run/tensorboard/train"))
