"""Arguments of `pipeline.train`: what the command line makes of the same flags, or one line of refusal."""

import dataclasses
import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

import pipeline
from pipeline import config as configuration
from pipeline.api import arguments, training
from pipeline.config import Config
from pipeline.errors import UsageError


def test_values_are_those_of_the_command_line():
    given = {
        "source": "folder:data/", "run_dir": Path("runs/x"), "image_size": 32, "steps": np.int64(7), "learning_rate": 1,
        "quiet": True, "deterministic": False, "average": "2:5", "seed": 2**40,
    }  # fmt: skip
    settled = arguments.settled(given)
    assert settled == Config(
        source="folder:data", run_dir="runs/x", image_size="32", steps=7, learning_rate=1.0, quiet=True,
        deterministic=False, average="2:5", seed=2**40,
    )  # fmt: skip
    assert type(settled.learning_rate) is float and type(settled.steps) is int
    texts = dict(argument.removeprefix("--").split("=", 1) for argument in settled.to_arguments())
    assert Config(**{name: configuration.parse_value(name, text) for name, text in texts.items()}) == settled


def test_without_arguments_the_run_lies_where_the_command_would_put_it():
    config = arguments.settled({})
    assert config == dataclasses.replace(Config(), run_dir=str(Config().default_run_dir()))
    assert arguments.settled({"fake_data": True}).source == "fake"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"lr": 1}, "lr is not an argument of train; did you mean learning_rate? its arguments are the flags of"),
        ({"steps": "many"}, "steps='many' is not a whole number; write it as steps=1000"),
        ({"steps": 3.5}, "steps=3.5 is not a whole number"),
        ({"steps": True}, "steps=True is not a whole number"),
        ({"learning_rate": "fast"}, "learning_rate='fast' is not a number; write it as learning_rate=0.001"),
        ({"quiet": 1}, "quiet=1 is not True or False"),
        ({"seed": None}, "seed=None is a NoneType; write it as the flag takes it"),
        ({"tower_devices": ["gpu:0"]}, "tower_devices=['gpu:0'] is a list; write it as the flag takes it"),
        ({"steps": 0}, "steps=0 is too small; the least is 1"),
        ({"optimizer": "lio"}, "optimizer=lio is unknown; did you mean lion?"),
        ({"model": "convolutionl"}, "model=convolutionl is unknown; did you mean convolutional?"),
        ({"repeat": 3}, "repeat=3 is of the command line alone: it makes several runs; call train once for each seed"),
        ({"dry_run": True}, "dry_run=True is of the command line alone"),
    ],
)
def test_a_mistake_is_told_by_value_rule_and_remedy(given, line):
    with pytest.raises(UsageError) as caught:
        arguments.settled(given)
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


def test_every_flag_is_in_the_signature_with_its_default():
    shown = inspect.signature(pipeline.train).parameters
    assert {name: one.default for name, one in shown.items()} == {
        name: value for name, value in vars(Config()).items() if name not in ("dry_run", "repeat")
    }
    assert shown["steps"].annotation is int and shown["source"].annotation is str


def test_the_child_finds_what_the_caller_finds_and_not_this_pythons_own_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = [entry for entry in sys.path if "site-packages" in entry or entry.endswith((".zip", "lib-dynload"))]
    assert own
    monkeypatch.setattr(sys, "path", [*own, "", str(tmp_path / "none"), "/usr", *own])
    assert training._callers_path() == [str(tmp_path), "/usr"]
