"""Data that lie at another place than at the start of a run, and a model that is evaluated on other data."""

import csv
import json
import shutil

import commands
import pytest
import shared
from picture_folders import fill, picture, write

from pipeline.errors import ExitCode

FLAGS = ("--model=dense", "--validation_fraction=0.1", "--global_batch=8", "--decay_steps=4", "--intra_op_threads=2",
         "--checkpoint_every=2", "--eval_every=0", "--log_every=0", "--summary_every=0")  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A directory with `data`, `names`, and a run on them to step 4, `straight`. Not to be changed."""

    def make(directory):
        fill(directory / "data" / "train", 20)
        fill(directory / "data" / "test", 4)
        (directory / "names").write_text("bee\nant\n")
        here = ("--source=folder:data", "--class_names=names", "--run_dir=straight")
        commands.succeed("train", *FLAGS, *here, "--steps=4", "--quiet", cwd=directory)

    return shared.directory(tmp_path_factory, "data-elsewhere", make)


def last(told: str) -> dict:
    return json.loads(told.splitlines()[-1])


def test_a_run_goes_on_with_inputs_that_were_moved(made, tmp_path):
    shutil.copytree(made / "data", tmp_path / "data")
    shutil.copy(made / "names", tmp_path)
    here = ("--source=folder:data", "--class_names=names", "--run_dir=run")
    commands.succeed("train", *FLAGS, *here, "--steps=2", "--quiet", cwd=tmp_path)
    (tmp_path / "scratch").mkdir()
    for name in ("data", "names"):
        (tmp_path / name).rename(tmp_path / "scratch" / name)
    there = ("--source=folder:scratch/data", "--class_names=scratch/names", "--run_dir=run")
    told = commands.succeed("train", *FLAGS, *there, "--steps=4", cwd=tmp_path)
    assert [line for line in told.splitlines() if "another place" in line] == [
        "the same source at another place: folder:scratch/data, before folder:data",
        "the same class_names at another place: scratch/names, before names",
    ]
    result = last((made / "straight" / "metrics.jsonl").read_text())
    assert last(told)["parameters_sha256"] == result["parameters_sha256"]
    names = (tmp_path / "scratch" / "names").rename(tmp_path / "away")  # a checkpoint has the names
    assert last(commands.succeed("evaluate", "--run_dir=run", cwd=tmp_path))["accuracy"] == result["test_accuracy"]
    names.rename(tmp_path / "scratch" / "names")
    with (tmp_path / "scratch" / "data" / "test" / "ant" / "0.png").open("ab") as file:
        file.write(b"longer")
    refused = commands.refuse(ExitCode.BAD_DATA, "train", *FLAGS, *there, "--steps=6", cwd=tmp_path)
    assert "the examples changed since ckpt-4: other file sizes in test, so that other steps would follow" in refused


def test_a_copy_of_the_data_has_the_splits_of_the_training(made, tmp_path):
    shutil.copytree(made / "data", tmp_path / "copy")
    arguments = (f"--run_dir={made}/straight", "--split=validation")
    expected = last(commands.succeed("evaluate", *arguments, cwd=made))
    ended = commands.run("evaluate", *arguments, "--source=folder:./copy/", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "folder:copy: the data of the run\n")
    assert last(ended.stdout) == expected | {"source": "folder:copy"}


def test_other_data_are_evaluated_whole_in_the_classes_of_the_model(made, tmp_path):
    """Numbers of the classes are the model's, where the data lack a class, too."""
    for number in range(3):
        write(tmp_path / "more" / "bee" / f"{number}.png", picture(200 + number))
    arguments = (f"--run_dir={made}/straight", "--source=folder:more")
    ended = commands.run("evaluate", *arguments, cwd=tmp_path)
    said = "folder:more: other data than the run's; all, 3 examples\n"
    assert (ended.returncode, ended.stderr) == (0, said)
    assert last(ended.stdout)["examples"] == 3
    assert commands.run("predict", *arguments, "--split=test", "--output=out.csv", cwd=tmp_path).stderr == said
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["where"] for row in rows) == [f"more/bee/{number}.png" for number in range(3)]
    assert {row["label"] for row in rows} == {"bee"}
    right = sum(row["predicted"] == "bee" for row in rows)
    assert last(ended.stdout)["accuracy"] == right / 3


BAD = [
    (["--source=folder:mine", "--split=validation"], ExitCode.USAGE, "has no validation split, but train and test; "),
    (
        ["--source=fake:10"],
        ExitCode.BAD_DATA,
        "the model does not fit fake:10: class_names was ('bee', 'ant') and is ('0', '1'",
    ),
    (["--source=folder:cows"], ExitCode.BAD_DATA, "cows/cow is no class of the model; rename or remove it"),
    (["--source=flder:more"], ExitCode.USAGE, "source=flder:more is unknown; did you mean folder? known: "),
    (
        ["--source=folder:none"],
        ExitCode.BAD_DATA,
        "none is not a directory; give one that holds a sub-directory for each",
    ),
]


@pytest.mark.parametrize(("flags", "code", "said"), BAD)
def test_data_that_the_model_does_not_fit(made, tmp_path, flags, code, said):
    fill(tmp_path / "mine" / "train", 4)
    fill(tmp_path / "mine" / "test", 2)
    write(tmp_path / "cows" / "cow" / "0.png", picture(1))
    assert said in commands.refuse(code, "evaluate", f"--run_dir={made}/straight", *flags, cwd=tmp_path)


def test_files_have_no_source(made, tmp_path):
    said = commands.refuse(ExitCode.USAGE, "predict", f"--run_dir={made}/straight", "--source=fake", "x.png")
    assert said == "usage: source=fake is of --split, which is not given; give both, or leave it out"
