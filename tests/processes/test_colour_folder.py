"""Colour images from JPEG files of our own drawing: killed, resumed, evaluated, predicted; and resnet20 learns them."""

import json
import re
import signal

import commands
import numpy as np
import pytest
from trainings import assert_equal_runs, train, training

from benchmarks.shapes import drawing
from pipeline.runs.run_directory import RunDirectory

SIDE = 16  # pixels
# fmt: off
FLAGS = (
    "--model=cnn_bn", "--optimizer=nesterov", "--learning_rate=0.05", "--weight_decay=1e-4", "--schedule=cosine",
    "--augment=resize_crop:0.5,flip", "--global_batch=32", "--grad_shards=2", "--steps=12", "--eval_every=6",
    "--eval_batch=16", "--summary_every=0")
# fmt: on


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A folder of 300 training and 50 test images of SIDE x SIDE."""
    directory = tmp_path_factory.mktemp("shapes")
    splits = {"train": np.arange(300), "test": drawing.TEST_START + np.arange(50)}
    drawing.write(directory, splits, side=SIDE)
    return directory


@pytest.fixture(scope="module")
def straight(shapes, tmp_path_factory):
    """A run on two towers that was never stopped."""
    directory = tmp_path_factory.mktemp("straight") / "run"
    train(directory, f"--source=folder:{shapes}", *FLAGS, "--towers=2")
    return directory


def test_a_run_killed_and_resumed_on_other_towers_ends_as_one_never_killed(shapes, straight, tmp_path):
    flags = (f"--source=folder:{shapes}", *FLAGS)
    with training(tmp_path / "run", *flags, "--towers=1") as live:
        assert live.until_step(6)
        live.send(signal.SIGKILL)
        assert live.end()[0] == -signal.SIGKILL
    train(tmp_path / "run", *flags, "--towers=2")
    assert_equal_runs(tmp_path / "run", straight)


def test_resnet20_learns_both_form_and_colour(tmp_path):
    """Form alone tells a class in half of the cases, colour alone in a fifth."""
    splits = {"train": np.arange(2200), "test": drawing.TEST_START + np.arange(300)}
    drawing.write(tmp_path / "shapes", splits, side=32)
    # fmt: off
    flags = (
        f"--source=folder:{tmp_path}/shapes", "--model=resnet20", "--optimizer=nesterov", "--learning_rate=0.1",
        "--schedule=cosine", "--warmup_steps=20", "--global_batch=64", "--grad_shards=2", "--steps=100",
        "--eval_every=0", "--checkpoint_every=0", "--log_every=0", "--summary_every=0", "--steps_per_loop=10")
    # fmt: on
    result = train(tmp_path / "run", *flags)
    assert result["test_accuracy"] > 0.6  # 0.70 when it was written


def test_an_evaluation_is_the_same_on_one_and_on_two_towers(straight):
    scored = [commands.succeed("evaluate", f"--run_dir={straight}", f"--towers={towers}") for towers in (1, 2)]
    assert scored[0] == scored[1]
    result = RunDirectory(straight).history().result
    told = json.loads(scored[0].splitlines()[-1])
    assert told["loss"] == result["test_loss"]
    assert list(told["accuracy_by_class"]) == sorted(drawing.CLASS_NAMES)
    assert abs(sum(told["accuracy_by_class"].values()) / 10 - result["test_accuracy"]) < 1e-9  # as many of each class
    assert re.search(r"^  warm_cross +[\d.]+%", scored[0], re.MULTILINE)


def test_classes_have_their_names_in_manifest_and_prediction(shapes, straight):
    manifest = json.loads((straight / "checkpoints" / "ckpt-12.manifest.json").read_text())
    assert manifest["examples"]["class_names"] == sorted(drawing.CLASS_NAMES)
    assert manifest["examples"]["image_shape"] == [SIDE, SIDE, 3]
    file = shapes / "test" / "warm_cross" / f"{drawing.TEST_START + 9}.jpg"
    told = json.loads(commands.succeed("predict", f"--run_dir={straight}", "--format=json", file))
    assert sorted(told["probabilities"]) == sorted(drawing.CLASS_NAMES) and told["class"] in drawing.CLASS_NAMES
