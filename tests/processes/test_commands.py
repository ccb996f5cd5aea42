"""The entry points as a user meets them: help, flag files, what goes to stdout and to stderr."""

import json
import re
import shutil
import signal
import time
from pathlib import Path

import commands
import numpy as np
import pytest
import tensorflow as tf
from pictures import write

from pipeline import sources
from pipeline.config import Config
from pipeline.engine.plan import Plan
from pipeline.errors import ExitCode

ENTRY_POINTS = (*commands.FORKED, "sweep", "supervise", "preflight", "doctor")


def last_line(stdout: str) -> dict:
    return json.loads(stdout.splitlines()[-1])


def result_of(run: Path) -> dict:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


@pytest.fixture
def two_classes(tmp_path):
    """The directory `images` of 8 images each of left and right."""
    directory = tmp_path / "images"
    for name in ("left", "right"):
        for i in range(8):
            write(directory / name / f"{i}.png", np.full((28, 28, 1), 9 * i, np.uint8))
    return directory


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_help_is_short_and_quick(entry_point):
    ended = commands.run(entry_point, "--help", env=commands.environment(PYTHONPROFILEIMPORTTIME="1"))
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert lines[0].startswith(f"usage: python -m pipeline.{entry_point} ")
    assert max(map(len, lines)) <= 100
    named = re.findall(r"^    --(\w+)=", ended.stdout, re.MULTILINE)
    assert ("run_dir" in named) == (entry_point != "data") and len(set(named)) == len(named)
    assert not {"help", "logtostderr", "only_check_flags", "pdb"} & set(named)
    imported = set(re.findall(r"\| +([\w.]+)$", ended.stderr, re.MULTILINE))
    assert "pipeline.config" in imported and not {"tensorflow", "keras", "numpy"} & imported


def test_help_of_train_has_every_flag_by_topic_with_what_it_may_be():
    told = commands.succeed("train", "--help", fresh=True)
    assert re.findall(r"^\w+$", told, re.MULTILINE) == ["data", "model", "optimization", "devices", "workers", "run"]
    for name, value in vars(Config()).items():
        assert f"    --{name}={str(value).lower() if isinstance(value, bool) else value}\n" in told
    assert "digits[:NUMBER] | mnist | tfds:NAME" in told and "dense | softmax | hidden" in told
    assert "One of sgd, momentum, nesterov, rmsprop, adam, adamw, lars, lion, muon." in told


def test_config_flags_repeat_a_run_from_any_directory(finished_run, tmp_path):
    arguments = (f"--flagfile={finished_run}/config.flags", "--run_dir=~/again")
    told = commands.succeed("train", *arguments, cwd="/", env=commands.environment(HOME=str(tmp_path)))
    assert last_line(told) == result_of(tmp_path / "again")
    assert last_line(told)["parameters_sha256"] == result_of(finished_run)["parameters_sha256"]
    assert (tmp_path / "again" / "config.flags").read_text() == (finished_run / "config.flags").read_text()


@pytest.mark.parametrize("entry_point", ["evaluate", "predict", "inspect", "export"])
def test_every_entry_point_takes_a_flagfile(entry_point, tmp_path):
    (tmp_path / "some.flags").write_text("# where\n--run_dir=nowhere\n")
    files = ["image.png"] if entry_point == "predict" else []
    told = commands.refuse(ExitCode.USAGE, entry_point, "--flagfile=some.flags", *files, cwd=tmp_path)
    assert "run_dir=nowhere holds no run" in told


def test_placement_is_logged_by_tensorflow_where_it_is_asked_for(tmp_path):
    quiet = commands.environment(TF_CPP_MIN_LOG_LEVEL="3")  # a user's own; the flag says otherwise
    arguments = (*commands.SMALL, "--towers=2", "--log_device_placement", "--run_dir=run")
    ended = commands.run("train", *arguments, cwd=tmp_path, env=quiet)
    assert ended.returncode == 0
    for tower in (0, 1):
        placed = rf"tower_{tower}/\S*: \(\w+\): /job:localhost/replica:0/task:0/device:CPU:{tower}$"
        assert re.search(placed, ended.stderr, re.MULTILINE)
    assert last_line(ended.stdout)["event"] == "result"


def test_a_run_ends_with_a_table_and_then_its_result(tmp_path):
    told = commands.succeed("train", *commands.SMALL, "--eval_every=10", "--run_dir=run", cwd=tmp_path)
    result = last_line(told)
    assert result == result_of(tmp_path / "run")
    *table, _ = told.partition("finished at step 20\n")[2].splitlines()
    rows = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in table)
    assert rows["test accuracy"].startswith(f"{result['test_accuracy']:.2%} (")
    assert rows["test loss"] == f"{result['test_loss']:.4f}"
    assert rows["best validation"].endswith((" at step 10", " at step 20"))
    assert (rows["restarts"], rows["run directory"], rows["checkpoints"]) == ("0", "run", "run/checkpoints")
    assert rows["look at it"].endswith("tensorboard --logdir=run")
    phases = {"compute", "reduction", "input", "saving", "evaluation", "start", "other"}
    assert set(re.findall(r"([a-z]+) [\d.]+%", rows["time"])) == phases == set(result["seconds"])
    assert sum(result["seconds"].values()) == pytest.approx(result["wall_seconds"], abs=0.05)
    assert result["seconds"]["reduction"] == 0


def test_quiet_and_verbose_say_less_and_more(tmp_path):
    often = (*commands.SMALL, "--log_every=5", "--run_dir=run")
    quiet = commands.succeed("train", *often, "--quiet", cwd=tmp_path)
    assert quiet.count("\n") == 1 and last_line(quiet)["event"] == "result"
    assert commands.succeed("train", *often, "--quiet", cwd=tmp_path) == quiet  # finished already
    shutil.rmtree(tmp_path / "run")
    verbose = commands.succeed("train", *often, "--verbose", cwd=tmp_path)
    assert len(re.findall(r"^  learning rate 0.001  gradient norm .*compute \d+%", verbose, re.MULTILINE)) == 4
    assert re.findall(r"^step (\d+): checkpoint, [\d,]+ bytes", verbose, re.MULTILINE) == ["10", "20"]
    assert "quiet" not in (tmp_path / "run" / "config.flags").read_text()


def test_a_profile_is_written_where_tensorboard_looks_for_it(tmp_path):
    commands.succeed("train", *commands.SMALL, "--profile=12:15", "--quiet", "--run_dir=run", cwd=tmp_path)
    [trace] = tmp_path.glob("run/tensorboard/plugins/profile/*/*.xplane.pb")
    assert b"tower_0" in trace.read_bytes()


def test_a_warning_of_ours_is_one_line(two_classes, tmp_path):
    (two_classes / "left" / "notes.txt").write_text("not an image")
    arguments = ("--source=folder:images", "--validation_fraction=0.25", "--run_dir=run", "--dry_run")
    ended = commands.run("train", *arguments, cwd=tmp_path)
    assert ended.returncode == 0
    assert re.fullmatch(
        r"WARNING: images/left: 1 entry is no .* file and is left out, as images/left/notes.txt\n", ended.stderr
    )


def test_a_dry_run_tells_the_plan_and_writes_nothing(tmp_path):
    arguments = ("--dry_run", "--source=fake:600", "--towers=8", "--global_batch=96", "--schedule=linear", "--steps=3")
    told = commands.succeed("train", *arguments, "--run_dir=run", cwd=tmp_path)
    assert commands.contents(tmp_path) == {}
    assert "--grad_shards=8\n" in told and "run directory: run, at its start\n" in told
    assert "examples: 550 train, 50 validation, 100 test\n" in told
    device = "/job:localhost/replica:0/task:0/device:CPU"
    towers = [f"tower {i} on {device}:{i}: shards {i}-{i} of 12 examples" for i in range(8)]
    assert [line for line in told.splitlines() if line.startswith("tower ")] == towers
    plan = Plan(seed=1, global_batch=96, grad_shards=8, num_examples=550)
    steps = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert [step["step"] for step in steps] == [0, 1, 2]
    for step in steps:
        first = plan.indices(plan.positions(step["step"], range(8)))[: len(step["first_indices"])]
        assert step["first_indices"] == first.numpy().tolist() and len(first) == 10
    assert [step["learning_rate"] for step in steps] == pytest.approx([0.001, 0.001 * 2 / 3, 0.001 / 3])


def test_a_dry_run_begins_where_the_run_would_go_on(finished_run):
    before = commands.contents(finished_run)
    arguments = (f"--flagfile={finished_run}/config.flags", f"--run_dir={finished_run}", "--steps=22", "--dry_run")
    told = commands.succeed("train", *arguments)
    assert f"run directory: {finished_run}, going on at step 20\n" in told
    assert [json.loads(line)["step"] for line in told.splitlines() if line.startswith("{")] == [20, 21]
    assert commands.contents(finished_run) == before


def test_evaluate_scores_as_the_training_did_on_any_number_of_towers(finished_run):
    result = result_of(finished_run)
    arguments = ("evaluate", f"--run_dir={finished_run}", "--metrics=all")
    told = [last_line(commands.succeed(*arguments, f"--towers={n}")) for n in (1, 3)]
    assert told[0] == told[1]
    assert told[0]["metrics"]["recall"]["micro"] == told[0]["accuracy"] and len(told[0]["by_class"]) == 10
    assert (told[0]["event"], told[0]["step"], told[0]["examples"]) == ("test", 20, 100)
    assert (told[0]["loss"], told[0]["accuracy"]) == (result["test_loss"], result["test_accuracy"])


def test_evaluate_takes_another_split_and_an_earlier_checkpoint(finished_run):
    told = commands.succeed("evaluate", f"--run_dir={finished_run}", "--split=validation", "--checkpoint=10")
    lines = [json.loads(line) for line in (finished_run / "metrics.jsonl").open()]
    (then,) = (line for line in lines if line["event"] == "validation" and line["step"] == 10)
    now = last_line(told)
    assert (now["loss"], now["accuracy"], now["examples"]) == (then["loss"], then["accuracy"], 50)
    assert told.splitlines()[0].startswith(f"validation at step 10: accuracy {now['accuracy']:.2%}, loss ")
    assert "metrics" not in now  # none was asked for


def test_evaluate_refuses_a_metric_that_the_data_does_not_have(finished_run):
    told = commands.refuse(ExitCode.USAGE, "evaluate", f"--run_dir={finished_run}", "--metrics=f1,top11")
    assert told == ("usage: metrics=top11 takes the 11 likeliest classes, and the data has 10; use a K of 10 at most")


def test_evaluate_refuses_examples_of_other_classes(run_copy, two_classes):
    flags = (run_copy / "config.flags").read_text()
    changed = re.sub("--source=.*", f"--source=folder:{two_classes}", flags).replace("0.0833333", "0.25")
    (run_copy / "config.flags").write_text(changed)
    told = commands.refuse(ExitCode.BAD_DATA, "evaluate", f"--run_dir={run_copy}")
    assert "class_names was ('0', '1'" in told and "and is ('left', 'right'); bring the old ones back" in told


@pytest.fixture(scope="module")
def test_split(tmp_path_factory):
    """Where the finished run's 100 test images lie, as a .npy file and the first three as PNG files; their labels."""
    test = sources.open_splits(Config(source="fake:600")).test
    raw, labels = test.fetch(tf.range(100, dtype=tf.int64))
    images = test.decode(raw).numpy()
    directory = tmp_path_factory.mktemp("test_split")
    np.save(directory / "all.npy", images)
    for i in range(3):
        write(directory / f"{i}.png", images[i])
    return directory, labels.numpy()


def predictions(run: Path, *arguments, **options) -> list[dict]:
    told = commands.succeed("predict", f"--run_dir={run}", "--format=json", *arguments, **options)
    return [json.loads(line) for line in told.splitlines()]


def test_predictions_are_those_that_evaluate_scores(finished_run, test_split):
    directory, labels = test_split
    told = predictions(finished_run, directory / "all.npy")
    rows = np.array([list(line["probabilities"].values()) for line in told])
    result = result_of(finished_run)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
    assert [int(line["class"]) for line in told] == rows.argmax(axis=1).tolist()
    assert (rows.argmax(axis=1) == labels).mean() == result["test_accuracy"]
    assert -np.log(rows[np.arange(100), labels]).mean() == pytest.approx(result["test_loss"], rel=1e-5)


def test_a_prediction_does_not_depend_on_the_other_images(finished_run, test_split):
    directory, _ = test_split
    told = predictions(finished_run, "2.png", "all.npy", "0.png", cwd=directory)
    assert [line["file"] for line in told] == ["2.png", *(f"all.npy[{i}]" for i in range(100)), "0.png"]
    assert told[0]["probabilities"] == told[3]["probabilities"]
    assert told[-1]["probabilities"] == told[1]["probabilities"]
    assert predictions(finished_run, "2.png", cwd=directory) == told[:1]


def test_predictions_as_a_table(finished_run, test_split):
    directory, _ = test_split
    (first, second) = predictions(finished_run, "0.png", "all.npy", cwd=directory)[:2]
    told = commands.succeed("predict", f"--run_dir={finished_run}", "0.png", "all.npy", cwd=directory).splitlines()
    assert re.fullmatch(r"image +class +likeliest", told[0])
    for line, row in ((first, told[1]), (second, told[2])):
        likeliest = sorted(line["probabilities"].items(), key=lambda item: -item[1])[:3]
        shown = ", ".join(f"{name} {probability:.2%}" for name, probability in likeliest)
        assert re.split("  +", row) == [line["file"], line["class"], shown]


def test_inspect_shows_checkpoints_variables_and_hashes(finished_run):
    told = commands.succeed("inspect", f"--run_dir={finished_run}", "--verify")
    table, arrays = told.split("\n\n")
    rows = [line.split() for line in table.splitlines()]
    assert rows[0] == ["step", "bytes", "saved", "state"]
    assert [row[0] for row in rows[1:]] == ["10", "20"] and all(row[4].startswith("verified") for row in rows[1:])
    assert sum(row[-1] == "best" for row in rows[1:]) == 1
    assert re.search(r"^  parameters/logits/kernel +float32 +\[784, 10\]$", arrays, re.MULTILINE)
    assert f"\nparameters_sha256 {result_of(finished_run)['parameters_sha256']}\n" in arrays
    assert re.search(r"^state_sha256 +[0-9a-f]{64}$", arrays, re.MULTILINE)


def test_inspect_tells_what_is_damaged_and_shows_the_rest(run_copy):
    broken = run_copy / "checkpoints" / "ckpt-10.index"
    broken.write_bytes(b"x" + broken.read_bytes()[1:])
    ended = commands.run("inspect", f"--run_dir={run_copy}", "--verify")
    assert ended.returncode == ExitCode.STORAGE
    assert re.fullmatch(r"storage: .*ckpt-10\.index is damaged.*\n", ended.stderr)
    assert re.search(r"^ +10 +damaged: .*ckpt-10\.index", ended.stdout, re.MULTILINE)
    assert "\nckpt-20\n" in ended.stdout and "\nparameters_sha256 " in ended.stdout


def test_a_reader_says_which_checkpoint_it_passed_over(run_copy):
    (run_copy / "checkpoints" / "ckpt-20.index").unlink()
    ended = commands.run("evaluate", f"--run_dir={run_copy}")
    assert ended.returncode == 0
    assert re.fullmatch(r"passed over: ckpt-20 is not whole: .*\n", ended.stderr)
    assert last_line(ended.stdout)["step"] == 10


def test_an_interrupt_ends_a_reader_in_silence(finished_run):
    with commands.start("evaluate", f"--run_dir={finished_run}", fresh=True) as evaluating:
        while "libtensorflow" not in Path(f"/proc/{evaluating.pid}/maps").read_text():
            assert evaluating.poll() is None
            time.sleep(0.02)
        evaluating.send_signal(signal.SIGINT)
        told = evaluating.communicate(timeout=60)[1]
    assert (evaluating.returncode, told) == (-signal.SIGINT, "")
