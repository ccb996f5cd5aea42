"""predict as a user meets it: folders, globs, standard input, files that cannot be read, drawings."""

import csv
import json
import subprocess

import commands
import numpy as np
import pytest
from pictures import write
from PIL import Image

from pipeline.errors import ExitCode


@pytest.fixture
def pictures(tmp_path):
    """The directory `in` of four images, in folders."""
    for i, name in enumerate(("b/1.png", "b/2.png", "a/3.jpg", "4.png")):
        write(tmp_path / "in" / name, np.full((28, 28, 1), 60 * i, np.uint8))
    return tmp_path


def predict(run, *arguments, **options) -> list[dict]:
    told = commands.succeed("predict", f"--run_dir={run}", "--format=json", "--eval_batch=8", *arguments, **options)
    return [json.loads(line) for line in told.splitlines()]


def test_folders_globs_and_standard_input_say_the_same(finished_run, pictures):
    told = predict(finished_run, "in", cwd=pictures)
    assert [line["file"] for line in told] == ["in/4.png", "in/a/3.jpg", "in/b/1.png", "in/b/2.png"]
    assert len({line["probabilities"]["0"] for line in told}) == 4
    assert predict(finished_run, "in/*", cwd=pictures) == told
    names = "".join(f"{line['file']}\n" for line in told)
    assert predict(finished_run, "-", cwd=pictures, input=names) == told


def test_an_unreadable_file_ends_it_before_anything_is_told_or_drawn(finished_run, pictures):
    (pictures / "in" / "b" / "2.png").write_bytes(b"no image")
    before = commands.contents(pictures)
    ended = commands.run("predict", f"--run_dir={finished_run}", "--draw=out", "--eval_batch=1", "in", cwd=pictures)
    assert (ended.returncode, ended.stdout) == (ExitCode.BAD_DATA, "")
    assert ended.stderr.startswith("bad data: in/b/2.png is not an image that can be decoded;")
    assert commands.contents(pictures) == before


def test_unreadable_files_are_named_and_skipped_on_request(finished_run, pictures):
    whole = predict(finished_run, "in", cwd=pictures)
    (pictures / "in" / "b" / "1.png").write_bytes(b"no image")
    arguments = (
        f"--run_dir={finished_run}",
        "--format=json",
        "--eval_batch=8",
        "--skip_unreadable",
        "missing.png",
        "in",
    )
    ended = commands.run("predict", *arguments, cwd=pictures)
    assert ended.returncode == 0
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [
        line for line in whole if "1.png" not in line["file"]
    ]
    first, second = ended.stderr.splitlines()
    assert first.startswith("skipped: missing.png: No such file or directory; give")
    assert second.startswith("skipped: in/b/1.png is not an image that can be decoded; give")
    told = commands.run("predict", *arguments[:-1], cwd=pictures)
    assert (told.returncode, told.stdout) == (ExitCode.BAD_DATA, "")
    assert told.stderr.endswith("\nbad data: none of the 1 files can be read; give PNG, JPEG or .npy files\n")


def test_verdicts_are_drawn_one_an_image(finished_run, pictures):
    np.save(pictures / "some.npy", np.zeros((2, 28, 28), np.uint8))
    told = predict(finished_run, "--draw=out", "in", "some.npy", cwd=pictures)
    drawn = [line["drawn"] for line in told]
    assert drawn == [f"out/{i:06}-{name}.png" for i, name in enumerate(("4", "3", "1", "2", "some", "some"), start=1)]
    assert sorted(path.name for path in (pictures / "out").iterdir()) == [name.removeprefix("out/") for name in drawn]
    shades = [Image.open(pictures / name).getpixel((0, 0))[0] for name in drawn]
    assert shades == [180, 120, 0, 60, 0, 0]
    table = commands.succeed("predict", f"--run_dir={finished_run}", "--draw=out", "in", cwd=pictures)
    assert table.splitlines()[-1] == "drawn: 4 images in out"


def test_a_directory_that_cannot_be_drawn_to(finished_run, pictures):
    (pictures / "file").write_text("kept")
    told = commands.run("predict", f"--run_dir={finished_run}", "--draw=file", "in", cwd=pictures)
    assert (told.returncode, told.stdout) == (ExitCode.STORAGE, "")
    assert told.stderr.startswith("storage: file cannot be read or written: File exists; free")


def test_a_pipeline_of_commands(finished_run, pictures):
    line = f"find in -name '*.png' | sort | {' '.join(commands.command('predict', f'--run_dir={finished_run}', '-'))}"
    ended = subprocess.run(line, shell=True, cwd=pictures, env=commands.environment(), capture_output=True, text=True)
    assert [row.split()[0] for row in ended.stdout.splitlines()] == ["image", "in/4.png", "in/b/1.png", "in/b/2.png"]


def test_the_predictions_of_a_split_are_those_that_the_training_scored(finished_run, tmp_path):
    result = json.loads((finished_run / "metrics.jsonl").read_text().splitlines()[-1])
    arguments = (f"--run_dir={finished_run}", "--split=test")
    told = commands.succeed("predict", *arguments, "--output=test.csv", cwd=tmp_path).splitlines()
    assert json.loads(told[-1])["accuracy"] == result["test_accuracy"] and told[0].endswith(", in test.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["test.csv"]
    with open(tmp_path / "test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [-np.log(float(row[f"probability_{row['label']}"])) for row in rows]
    assert np.mean(losses) == pytest.approx(result["test_loss"], rel=1e-5) and len(rows) == 100
    lines = commands.succeed("predict", *arguments, "--format=json", "--towers=3").splitlines()
    assert [json.loads(line)["predicted"] for line in lines] == [row["predicted"] for row in rows]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--split=test", "split=test needs either --output=FILE, .csv, .jsonl or .parquet, or --format=json; give one"),
        ("--split=test --output=a.csv b.png", "split=test and FILEs (b.png) exclude each other; give one of them"),
        ("--split=test --format=json --draw=d", "--draw is of FILEs, and split=test is given; leave one of them out"),
        ("--output=a.csv b.png", "output=a.csv is of --split, which is not given; give both, or leave it out"),
    ],
)
def test_flags_of_files_and_of_splits_are_not_mixed(arguments, line, finished_run):
    assert line in commands.refuse(ExitCode.USAGE, "predict", f"--run_dir={finished_run}", *arguments.split())
