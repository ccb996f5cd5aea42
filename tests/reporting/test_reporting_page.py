"""The page: everything of a run, of one that is not finished, and of several; whole in itself."""

import base64
import dataclasses
import html.parser
import json
import re

import numpy as np
import pytest

from pipeline.config import Config
from pipeline.engine.tally import Scores
from pipeline.metrics.counts import of_confusion
from pipeline.metrics.summary import summarize
from pipeline.reporting import comparison, page
from pipeline.reporting.comparison import Comparison
from pipeline.reporting.scored import Picture, Scored
from pipeline.reporting.views import RunView
from pipeline.runs.record import RunRecord
from pipeline.runs.run_directory import RunDirectory

HOSTILE = "<script>alert('&')</script>"
PNG = "data:image/png;base64," + base64.b64encode(b"not really").decode()
PLACEMENT = """\
The variables and operations of each device.

/job:localhost/replica:0/task:0/device:CPU:0
  variables                 bytes
    tower_0/parameters/a      128
    together 1              1,128
  operations             tower_0  no tower
    AddN                       1         -
    together 617             125       492

/job:localhost/replica:0/task:0/device:GPU:10
  operations             tower_0  no tower
    together 3                 1         2
"""


def told(event: str, step: int, time: float, **values) -> dict:
    return {"event": event, "step": step, "time": time, **values}


TRAINED = [
    told("start", 0, 1.0, towers=2, devices="cpu:0, cpu:1"),
    *(told("train", step, 1.0 + step, loss=1 / step, accuracy=0.5, learning_rate=0.1) for step in (1, 2, 3)),
    told("validation", 3, 5.0, loss=0.5, accuracy=0.75),
]
RESUMED = told("start", 3, 10.0, towers=1, devices="cpu:0")
RESULT = told(
    "result", 20, 30.0, test_accuracy=0.875, test_loss=0.25, images_per_second=1234.5, parameters_sha256="ab" * 32,
    seconds={"compute": 3.0, "reduction": 0.0, "other": 1.0},
)  # fmt: skip


def view(directory, events, number: int = 0, scored: Scored | None = None, left_out=(), placement=None, **fields):
    directory.mkdir(exist_ok=True)
    run = RunDirectory(directory)
    run.record(Config(**({"steps": 20} | fields)))
    run.metrics.write_text("".join(json.dumps(event) + "\n" for event in events))
    return RunView(directory.name, number, RunRecord.read(directory), scored, tuple(left_out), placement)


SCORED = Scored(
    "test",
    "digits",
    20,
    Scores(0.25, 0.875, 8),
    ("cat", HOSTILE),
    np.array([[4, 1], [0, 3]]),
    (Picture(PNG, "a/b.png", "cat", HOSTILE, 0.987),),
)


class Page(html.parser.HTMLParser):
    """What a browser would see: tags in balance, attributes, and the text."""

    VOID = ("meta", "img", "br", "wbr", "circle", "rect", "line", "path")

    def __init__(self, text: str):
        super().__init__()
        self.open, self.attributes, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        assert "script" not in self.open
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_a_finished_run(tmp_path):
    run = view(tmp_path / "run", [*TRAINED, RESUMED, RESULT], scored=SCORED, placement=PLACEMENT, optimizer="sgd")
    text = Page(page.render([run])).text
    for words in (
        "convolutional on digits finished",
        "Test accuracy 87.50% loss 0.25",
        "Validation accuracy 75.00% best 75.00% at step 3",
        "Step 20 of 20, 100 examples each",
        "Time 24.0 s in 2 starts",
        "Images per second 1,234 1 tower, float32",
        f"parameters_sha256 {'ab' * 32}",
        "Checkpoint of step 20 on the test split of digits: 87.50% of 8 examples right, loss 0.25",
        f"is cat , said {HOSTILE} 98.7%",
        "compute 75% 3.0 s other 25% 1.0 s",
        "2 towers: cpu:0, cpu:1 4.0 s was killed",
        "1 tower: cpu:0 20.0 s finished",
        "cpu:0 1 1,128 617",
        "gpu:10 – – 3",  # noqa: RUF001
    ):
        assert words in text, words
    settings = run.settings["optimization"]
    assert [row["name"] for row in settings if row["changed"]] == ["steps", "optimizer"]


def test_metrics_and_many_classes(tmp_path):
    counts = np.diag(np.full(120, 9)).astype(np.int64)
    counts[7, 110] = 3
    names = tuple(f"kind {i}" for i in range(120))
    metrics = summarize(("top2", "f1"), 1083, of_confusion(counts), (), {"top2": 1080})
    scored = Scored("test", "digits", 20, Scores(0.1, 1080 / 1083, 1083), names, counts, (), metrics)
    text = Page(page.render([view(tmp_path / "run", [*TRAINED, RESULT], scored=scored)])).text
    for words in (
        "The 95% interval of the accuracy is 99.19% to 99.91%.",
        "top2 99.72% 95% interval 99.19% to 99.91%",
        "f1 99.76% weighted 99.72%, micro 99.72%",
        "Of 120 classes, the ones of the most frequent mistakes; all others are one.",
        "3 of class kind 7 were taken for kind 110 (25%)",
        "118 others",
        "kind 7 taken for kind 110 (3×, 25%)",  # noqa: RUF001
        "class examples f1 kind 7 12 85.71% kind 110 9 85.71% kind 0 9 100.00%",
    ):
        assert words in text, words


def test_the_page_needs_nothing_beside_itself(tmp_path):
    run = view(tmp_path / "run", [*TRAINED, RESUMED, RESULT], scored=SCORED, placement=PLACEMENT)
    text = page.render([run, dataclasses.replace(run, colour=1)])
    assert not re.search(r"https?:|url\(|@import", text)
    attributes = Page(text).attributes
    assert [value for _, name, value in attributes if name == "src"] == [PNG, PNG]
    assert not {name for _, name, _ in attributes if name == "href" or name.startswith("on")}
    assert not {tag for tag, _, _ in attributes if tag in ("script", "link", "iframe")}


@pytest.mark.parametrize("events", [[], TRAINED[:1], TRAINED, [*TRAINED, RESUMED]])
def test_a_run_that_is_not_finished(events, tmp_path):
    text = Page(page.render([view(tmp_path / "run", events, left_out=["no checkpoint yet"])])).text
    assert "unfinished" in text and "Left out: no checkpoint yet" in text
    assert "Test accuracy –" in text and "There is no placement.txt" in text  # noqa: RUF001
    assert ("Nothing has been told yet" in text) == (len(events) < 2)


def test_a_run_that_diverged_says_where(tmp_path):
    event = told("diverged", 4, 6.0, loss=None, variables=["fc/kernel"])
    text = Page(page.render([view(tmp_path / "run", [*TRAINED, event])])).text
    assert "Diverged at step 4: the loss was not finite; the gradient of fc/kernel was not finite." in text


def compared(tmp_path, *different: dict, **results) -> Comparison:
    runs = []
    for n, fields in enumerate(different):
        result = RESULT | {name: values[n] for name, values in results.items()}
        runs.append(view(tmp_path / str(n), [*TRAINED, result], n, **fields))
    return Comparison(runs)


def test_the_best_of_each_result_is_marked(tmp_path):
    seeds = ({}, {"seed": 2}, {"seed": 3})
    found = compared(tmp_path, *seeds, test_accuracy=(0.5, 0.75, 0.5), test_loss=(0.5, 0.25, 0.125))
    marked = {
        name: [row["label"] for row in found.rows if row["cells"][i]["best"]] for i, name in enumerate(found.columns)
    }
    assert (marked["test accuracy"], marked["test loss"], marked["step"]) == (["1"], ["2"], [])


def test_what_differs_stands_beside_the_results_or_below_them(tmp_path):
    found = compared(tmp_path, {"seed": 1}, {"seed": 2})
    assert (found.beside, found.below) == (["seed"], [])
    assert [row["settings"] for row in found.rows] == [{"seed": "1"}, {"seed": "2"}]
    many = {"seed": 2, "optimizer": "sgd", "learning_rate": 0.5, "model": "dense", "momentum": 0.5}
    found = compared(tmp_path, {}, many)
    assert (found.beside, set(found.below)) == ([], set(many))
    text = Page(page.render(found._runs)).text
    assert "optimizer adam sgd" in text and "What differs" in text


def test_equal_parameters_are_pointed_out(tmp_path):
    runs = ({}, {"towers": 2}, {"seed": 2})
    assert compared(tmp_path, *runs[:2]).same == "All ended on the same parameters, to the bit."
    assert compared(tmp_path, *runs, parameters_sha256=("a", "a", "b")).same.startswith("Some ended on the same")
    assert compared(tmp_path, *runs, parameters_sha256=("a", "c", "b")).same == ""


def test_every_curve_holds_every_run(tmp_path):
    charts = {chart.title: chart.svg for chart in compared(tmp_path, {}, {"seed": 2}).charts}
    assert list(charts) == ["Validation loss", "Validation accuracy", "Train loss", "Train accuracy", "Learning rate"]
    assert charts["Train loss"].count("<path") == 2 and charts["Train loss"].count("1, step") == 3


def test_labels_are_what_tells_runs_apart(tmp_path):
    assert comparison.labels([tmp_path / "a/b"]) == ["b"]
    assert comparison.labels([tmp_path / "s/x/seed-1", tmp_path / "s/y/seed-1"]) == ["x/seed-1", "y/seed-1"]
    assert comparison.labels([tmp_path / "s", tmp_path / "s/x"]) == ["s", "s/x"]
