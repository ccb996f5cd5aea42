"""What is shown of a split that was scored, read back from the event files."""

import dataclasses
import io

import numpy as np
import pytest
import told_run
from PIL import Image
from small_run import assembly
from told_run import curves

from pipeline.engine.evaluation import Evaluator
from pipeline.engine.tally import Mistake, Tally
from pipeline.metrics.calibration import calibrate
from pipeline.metrics.counts import of_confusion
from pipeline.metrics.summary import summarize
from pipeline.monitoring import gallery, pictures
from pipeline.monitoring.journal import Journal
from pipeline.sources.memory import InMemory

NAMES = ("left", "right", "none")
CALIBRATION = calibrate(np.full(8, 0.75, np.float32), np.arange(8) < 5)


def source(images) -> InMemory:
    return InMemory(images, np.zeros(len(images), np.int32), NAMES, "examples")


def tally(confusion, mistakes=()) -> Tally:
    counts = np.array(confusion)
    return Tally(np.zeros(1, np.float32), counts, tuple(mistakes), int(counts.sum() - counts.trace()))


def test_each_class_has_its_accuracy_and_a_class_without_examples_has_none(tmp_path):
    images = np.zeros([8, 4, 4, 1], np.uint8)
    told = tally([[3, 1, 0], [0, 2, 2], [0, 0, 0]], [Mistake(0.9, 3, 0, 1)])
    gallery.show_tally(Journal(tmp_path, 0), "validation", 5, told, source(images))
    shown = curves(tmp_path)
    assert shown["validation", "per_class_accuracy/left"] == [(5, (), 0.75)]
    assert shown["validation", "per_class_accuracy/right"] == [(5, (), 0.5)]
    assert {tag for _, tag in shown} == {
        *("per_class_accuracy/left", "per_class_accuracy/right", "errors/confusion", "errors/examples")
    }


def test_metrics_have_charts_of_their_averages_and_of_each_class_that_has_a_value(tmp_path):
    confusion = np.array([[3, 1, 0], [0, 2, 2], [0, 0, 0]])
    metrics = summarize(("top2", "f1", "calibration_error"), 8, of_confusion(confusion), (), {"top2": 7}, CALIBRATION)
    told, journal = dataclasses.replace(tally(confusion), metrics=metrics), Journal(tmp_path, 0)
    gallery.show_tally(journal, "validation", 5, told, source(np.zeros([8, 4, 4, 1], np.uint8)))
    journal.scalars("validation", 5, told.values)
    shown = {tag: points for (_, tag), points in curves(tmp_path).items()}
    assert shown["per_class_f1/left"] == [(5, (), pytest.approx(6 / 7))] and shown["per_class_f1/none"] == [(5, (), 0)]
    assert shown["metrics/top2"] == [(5, (), 0.875)]
    assert shown["metrics/f1"] == [(5, (), pytest.approx((6 / 7 + 4 / 7) / 3))]
    assert shown["metrics/calibration_error"] == [(5, (), pytest.approx(abs(5 - 0.75 * 8) / 8))]
    assert shown["metrics/accuracy_low"][0][2] < 5 / 8 < shown["metrics/accuracy_high"][0][2]
    assert "errors/calibration" in shown
    line = told_run.lines(tmp_path)[-1]
    assert list(line) == ["event", "step", "loss", "accuracy", "top2", "f1", "calibration_error"]


def test_the_examples_shown_are_those_of_the_mistakes():
    images = np.stack([np.full([4, 4, 1], 10 * i, np.uint8) for i in range(8)])
    told = tally([[0, 2, 0], [0, 0, 0], [0, 0, 0]], [Mistake(0.9, 5, 0, 1), Mistake(0.8, 2, 0, 1)])
    picture = np.asarray(gallery.mistakes(told, source(images)))
    grey = {tuple(p) for p in picture.reshape(-1, 3) if p[0] == p[1] == p[2]}
    counts = {level: (picture == level).all(axis=-1).sum() for level in (20, 50, 30)}
    assert (20,) * 3 in grey and (50,) * 3 in grey
    assert counts[20] >= pictures.TILE**2 and counts[50] >= pictures.TILE**2 and counts[30] < pictures.TILE**2


def test_a_split_without_mistakes_is_shown_as_such():
    assert gallery.mistakes(tally([[4, 0, 0], [0, 0, 0], [0, 0, 0]]), source(np.zeros([4, 4, 4, 1]))).height < 100


@pytest.mark.parametrize(("model", "pictured"), [("convolutional", True), ("dense", False)])
def test_filters_are_shown_where_the_first_layer_is_a_convolution(tmp_path, model, pictured):
    parts = assembly(1, model=model, optimizer="adam")
    gallery.show_parameters(Journal(tmp_path, 0), 3, parts.initial(), channels=1)
    shown = curves(tmp_path)
    assert (("train", "filters/first_layer") in shown) == pictured
    histograms = {tag for _, tag in shown if tag.startswith("parameters/")}
    assert histograms == {name for name in parts.initial() if name.startswith("parameters/")}


def test_pictures_of_a_real_evaluation_can_be_opened(tmp_path):
    parts = assembly(2, model="models_for_tests:linear", optimizer="sgd", source="fake:100")
    scored = Evaluator(parts.model, parts.towers(parts.initial()), 10).tally(parts.splits.test)
    gallery.show_tally(Journal(tmp_path, 0), "test", 5, scored, parts.splits.test)
    for tag in ("errors/confusion", "errors/examples"):
        [(step, _, (width, height, png))] = curves(tmp_path)["test", tag]
        assert step == 5
        assert Image.open(io.BytesIO(png)).size == (int(width), int(height))
