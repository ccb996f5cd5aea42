"""Every dashboard of a real TensorBoard, opened on real runs in a real browser, is filled with what they told."""

import re

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (it comes with the extra 'test')")

from pipeline.runs.run_directory import RunDirectory
from tests.browser import dashboards, runs
from tests.support.tensorboards import TensorBoard

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(dashboards.CHROMIUM is None, reason="there is no Chromium to drive (apt-get install chromium)"),
]
STEPS = 60
# TensorBoard puts twelve on a page.
PARAMETERS = [f"parameters/{layer}/{name}" for layer in ("conv1", "conv2", "fc1") for name in ("bias", "kernel")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The directory of two finished runs of the convolutional model on digits. Not to be changed."""
    directory = tmp_path_factory.mktemp("watched")
    return runs.make(
        directory, STEPS, "--source=digits:1200", f"--data_dir={directory}", "--eval_batch=50", "--global_batch=16"
    )


@pytest.fixture(scope="module")
def page(trained):
    """A browser on a TensorBoard that watches these runs, in a window tall enough for all of a dashboard."""
    server = TensorBoard(trained)
    try:
        server.points("adam/tensorboard/test", "curves/accuracy", [STEPS])  # all is loaded
        server.points("momentum/tensorboard/test", "curves/accuracy", [STEPS])
        with dashboards.Dashboards.of(server.url, height=4000) as browser:
            yield browser
    finally:
        server.end()


def test_training_and_validation_share_their_charts_which_show_the_numbers_of_the_run(page, trained):
    charts = page.charts()
    assert set(charts) == {"curves/accuracy", "curves/loss"}
    for run in ("adam", "momentum"):
        accuracy = {e["event"]: e["accuracy"] for e in RunDirectory(trained / run).history().events if "accuracy" in e}
        for split in ("train", "validation", "test"):
            row = charts["curves/accuracy"].partition(f"{run}/tensorboard/{split}\n")[2].splitlines()
            assert float(row[1]) == pytest.approx(accuracy[split], abs=1e-4)
            assert row[2] == str(STEPS)


def test_charts_and_pictures_stand_in_groups_of_which_the_curves_are_first(page):
    groups = page.groups()
    assert groups == ["curves", "errors", "filters", "optimization", "parameters", "per_class_accuracy", "speed"]


def test_pictures_show_confusion_mistakes_and_filters(page):
    shown = {tuple(text.splitlines()[:2]): size for text, size in page.pictures().items()}
    expected = {("errors/" + what, split) for what in ("confusion", "examples") for split in ("test", "validation")}
    expected.add(("filters/first_layer", "train"))
    assert set(shown) == {(tag, f"{r}/tensorboard/{split}") for tag, split in expected for r in ("adam", "momentum")}
    assert all(width > 100 and height > 50 for width, height in shown.values())


def test_histograms_of_parameters_have_an_outline_for_every_evaluation(page):
    shown = {tuple(text.splitlines()[:2]): outlines for text, outlines in page.histograms().items()}
    assert set(shown) == {(tag, f"{run}/tensorboard/train") for tag in PARAMETERS for run in ("adam", "momentum")}
    assert min(shown.values()) >= 6


def test_texts_tell_configuration_placement_and_restarts(page):
    texts = page.texts()

    def told(tag: str) -> list[str]:
        return [text for text in texts if text.startswith(f"run/{tag}\nadam/tensorboard/train\n")]

    [configuration], [placement], [restarts] = told("configuration"), told("placement"), told("restarts")
    assert "learning_rate\n0.001\n" in configuration
    assert "tower_1/parameters/conv1/kernel" in placement
    assert re.search(r"restart 1, at step \d+, on cpu:0, cpu:1", restarts)
    assert not any(text.startswith("run/restarts\nmomentum") for text in texts)


def test_the_graph_shows_a_box_for_each_tower_in_its_devices_colour(page):
    boxes = page.boxes()
    assert set(boxes) == {"tower_0", "tower_1", "host"}
    assert boxes["tower_0"] != boxes["tower_1"]
    assert all(re.fullmatch(r"rgb\([\d, ]+\)", colour) for colour in boxes.values())  # each of one device alone


def test_runs_compare_in_the_hparams_table(page, trained):
    table = page.hparams()
    for run, optimizer in (("adam", "adam"), ("momentum", "momentum")):
        row = table.partition(f"{run} (runs)\n")[2].splitlines()
        assert row[3] == optimizer
        assert float(row[5]) == pytest.approx(RunDirectory(trained / run).history().result["test_accuracy"], rel=1e-3)
    assert "test accuracy\ntest loss\nvalidation accuracy\nvalidation loss" in table
