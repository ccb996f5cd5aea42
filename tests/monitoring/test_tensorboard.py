"""A real TensorBoard, open while a run is told, killed and resumed, answers through its own data API."""

import json
import re

import pytest
from tensorboards import TensorBoard
from told_run import loss, start, tell


@pytest.fixture(params=["true", "false"])
def tensorboard(request, tmp_path):
    """TensorBoard with its data server, and with its Python reader: they purge by different rules."""
    server = TensorBoard(tmp_path, f"--load_fast={request.param}")
    yield server
    server.end()


def test_a_live_tensorboard_shows_all_that_was_told_and_no_step_twice(tmp_path, tensorboard):
    run_dir = tmp_path / "run"
    tell(start(run_dir, 0), 1, 6)
    assert tensorboard.points("run/tensorboard/train", "curves/loss", [1, 2, 3, 4, 5, 6])[2] == pytest.approx(loss(3))
    assert tensorboard.points("run/tensorboard/validation", "curves/loss", [2, 4, 6])[0] == pytest.approx(loss(2) + 1)

    journal = start(run_dir, 4)
    journal.scalars("train", 5, {"loss": 50.0})
    assert tensorboard.points("run/tensorboard/train", "curves/loss", [1, 2, 3, 4, 5])[-1] == 50.0
    journal.scalars("validation", 5, {"loss": 51.0})
    assert tensorboard.points("run/tensorboard/validation", "curves/loss", [2, 4, 5])[-1] == 51.0

    histograms = tensorboard.get("histograms/histograms", run="run/tensorboard/train", tag="parameters/conv1/kernel")
    assert [step for _, step, _ in json.loads(histograms)][:2] == [2, 4]
    [text] = [
        text
        for text in json.loads(tensorboard.get("text/text", run="run/tensorboard/train", tag="configuration"))
        if text["step"] == 4
    ]
    assert re.search(r"<td><code>towers</code></td>\s*<td><code>2</code></td>", text["text"])
    assert re.search(r'name: "x"\s*op: "Const"', tensorboard.get("graphs/graph", run="run/tensorboard/train"))
