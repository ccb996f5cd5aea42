"""python -m pipeline.data: its report and exit codes, and a conversion that is killed."""

import json
import os
import signal
import time

import commands
import pytest
from commands import contents
from picture_folders import fill

from pipeline.errors import ExitCode


@pytest.fixture
def data(tmp_path):
    fill(tmp_path / "data" / "train", 40)
    fill(tmp_path / "data" / "test", 4)
    return tmp_path / "data"


def test_a_check_ends_with_65_where_an_example_is_broken(data):
    told = commands.succeed("data", "check", f"folder:{data}", "--validation_fraction=0.1")
    assert [line.split()[:3] for line in told.splitlines()[1:4]] == [
        ["train", "72", "0"],
        ["validation", "8", "0"],
        ["test", "8", "0"],
    ]
    assert "8 pictures in different splits, with equal pixels:" in told  # fill's pictures of test are those of train
    (data / "test" / "ant" / "0.png").write_bytes(b"x")
    ended = commands.run("data", "check", f"folder:{data}", "--validation_fraction=0.1", "--format=json")
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == ExitCode.BAD_DATA
    assert ended.stderr == (f"bad data: folder:{data}: 1 of 88 examples are broken; replace or remove them\n")
    assert [event["where"] for event in events if event["event"] == "broken"] == [f"{data}/test/ant/0.png"]


def test_a_killed_conversion_goes_on_and_trains_alike(data, tmp_path):
    arguments = ("data", "convert", f"folder:{data}", "tfrecord:out", "--shard_examples=2", "--validation_fraction=0.1")
    work = tmp_path / "out.unfinished"
    with commands.start(*arguments, cwd=tmp_path) as live:
        while live.poll() is None and not (work / "train-00003-of-00036.tfrecord").exists():
            time.sleep(0.001)
        os.kill(live.pid, signal.SIGKILL)
        live.wait()
    assert not (tmp_path / "out").exists()
    told = commands.succeed(*arguments, cwd=tmp_path).splitlines()
    assert told == ["--source=tfrecord:out/*.tfrecord", "--class_names=out/class_names.txt"]
    commands.succeed(*arguments[:3], "tfrecord:again", *arguments[4:], cwd=tmp_path)
    assert contents(tmp_path / "out") == contents(tmp_path / "again")
    hashes = set()
    for flags in ([f"--source=folder:{data}", "--validation_fraction=0.1"], told):
        train = ("train", "--model=dense", "--steps=3", "--global_batch=8", "--intra_op_threads=2", "--quiet")
        run = f"--run_dir=run{len(hashes)}"
        told_result = commands.succeed(*train, *flags, run, cwd=tmp_path)
        hashes.add(json.loads(told_result.splitlines()[-1])["parameters_sha256"])
    assert len(hashes) == 1


BAD = [
    ([], "'' is nothing to do with data; known: check, convert"),
    (["chek", "fake"], "'chek' is nothing to do with data; did you mean check? known: check, convert"),
    (["check"], "check takes SOURCE, and 0 words were given; correct it"),
    (["convert", "fake", "csv:x"], "'csv:x' is no form to convert to; write tfrecord:DIR"),
    (["convert", "fake", "tfrecord:s3://a/b"], "'tfrecord:s3://a/b' is no directory of this machine; convert to one"),
    (["check", "fak"], "source=fak is unknown; did you mean fake? known: "),
    (["check", "fake", "--class_names=x"], "--class_names is of --source=folder, csv, tfrecord, tar, and not of fake"),
    (["convert", "fake", "tfrecord:x", "--shard_examples=0"], "shard_examples=0 is not "),
]


@pytest.mark.parametrize(("words", "said"), BAD)
def test_words_that_are_refused(words, said, tmp_path):
    assert commands.refuse(ExitCode.USAGE, "data", *words, cwd=tmp_path).startswith(f"usage: {said}")


def test_weights_are_told_by_an_evaluation_and_refused_by_a_conversion(data):
    rows = [f"{path.relative_to(data)},{path.parent.name},{2 if path.parent.name == 'ant' else 1}"
            for path in sorted(data.glob("train/*/*.png"))]  # fmt: skip
    (data / "list.csv").write_text("\n".join(["path,label,weight", *rows]) + "\n")
    flags = (f"--source=csv:{data}/list.csv", "--validation_fraction=0.1", "--model=dense", "--global_batch=8")
    commands.succeed("train", *flags, "--steps=2", "--intra_op_threads=2", "--quiet", "--run_dir=run", cwd=data)
    told = commands.succeed("evaluate", "--run_dir=run", cwd=data)
    assert told.splitlines()[-2] == "the loss is without the training's weights of examples"
    refused = commands.refuse(ExitCode.USAGE, "data", "convert", f"csv:{data}/list.csv", "tfrecord:out", cwd=data)
    assert refused == (f"usage: csv:{data}/list.csv has weights, which shards do not hold; leave out its column weight")
    assert not (data / "out").exists()
