"""What a user can do wrong, as command lines: one line on stderr with value, rule and remedy, and the exit code."""

import json
import os
import shutil
import struct
import subprocess

import commands
import jobs
import numpy as np
import pytest
from pictures import write
from trainings import train, training

from pipeline.errors import ExitCode
from pipeline.runs.manifests import newest_step
from pipeline.runs.run_directory import RunDirectory

USAGE, BAD_DATA, DIVERGED, STORAGE = ExitCode.USAGE, ExitCode.BAD_DATA, ExitCode.DIVERGED, ExitCode.STORAGE

# Arguments, and what the line must say. None of these gets as far as TensorFlow.
WRONG_FLAGS = [
    ("--model=dens", "model=dens is unknown; did you mean dense? known: dense, softmax"),
    ("--model=a.b:", "model=a.b: is not of the form package.module:function"),
    ("--source=digit", "source=digit is unknown; did you mean digits? known: digits, mnist, tfds"),
    ("--source=idx", "source=idx lacks its DIR; use --source=idx:DIR"),
    ("--optimizer=adm", "optimizer=adm is unknown; did you mean adam? known: sgd, momentum"),
    ("--augment=flap", "augment: 'flap' is unknown; did you mean flip? known: resize_crop, shift"),
    ("--sorce=fake", "--sorce is not a flag; did you mean --source? --help lists them"),
    ("--zzz", "--zzz is not a flag; --help lists them"),
    ("resume", "'resume' is not a flag; write flags as --name=value"),
    ("--steps=ten", "steps=ten is not a whole number; write it as --steps=1000"),
    ("--learning_rate=fast", "learning_rate=fast is not a number; write it as --learning_rate=0.001"),
    ("--dry_run=maybe", "dry_run=maybe is not true or false; write it as --dry_run=false"),
    ("--steps", "Missing value for flag --steps; write flags as --name=value"),
    ("--steps=0", "steps=0 is too small; the least is 1"),
    ("--momentum=2", "momentum=2.0 is too large; the most is 1"),
    ("--learning_rate=nan", "learning_rate=nan is not a finite number of 32 bits; give one, as --learning_rate=0.001"),
    ("--learning_rate=1e39", "learning_rate=1e+39 is not a finite number of 32 bits"),
    (f"--seed={2**63}", "seed=9223372036854775808 is too large; the most is 9223372036854775807"),
    ("--flagfile=missing.flags", "a flagfile cannot be opened (No such file or directory: 'missing.flags'); check"),
    ("--flagfile=", "--flagfile= names no file; write it as --flagfile=FILE"),
    ("--grad_shards=8", "global_batch=100 does not split into 8 shards; use"),
    ("--tower_devices=cpu:0,cpu:0", "tower_devices=cpu:0,cpu:0 names a device twice; give each tower a device"),
    ("--tower_devices=tpu:0", "tower_devices=tpu:0: 'tpu:0' is not a device; write cpu:N or gpu:N"),
    ("steps=10", "'steps=10' is not a flag; did you mean --steps=10? write flags as --name=value"),
    (
        "\N{EM DASH}steps=10",
        "'\N{EM DASH}steps=10' is not a flag; did you mean --steps=10? write flags as --name=value",
    ),
    ("--STEPS=10", "--STEPS is not a flag; did you mean --steps? --help lists them"),
    ("--learning-rate=1", "--learning-rate is not a flag; did you mean --learning_rate? --help lists them"),
    ("--lr=0.1", "--lr is not a flag; did you mean --learning_rate? --help lists them"),
    ("--batch_size=32", "--batch_size is not a flag; did you mean --global_batch? --help lists them"),
    ("--logdir=x", "--logdir is not a flag; did you mean --run_dir? --help lists them"),
    ("--logtostder", "--logtostder is not a flag; --help lists them"),  # not absl's own logtostderr
    ("--steps=1e3", "steps=1e3 is not a whole number; write it as --steps=1000"),
    ("--nodry_run=true", "--nodry_run=true does not take an argument; write --NAME=true or --NAME=false"),
    ("--optimizer=ADAM", "optimizer=ADAM is unknown; did you mean adam? known: sgd"),
    ("--optimizer= adam", "optimizer=' adam' begins or ends with a space; write it without, as --optimizer=adam"),
    ("--model=my_models.small", "model=my_models.small is unknown; did you mean my_models:small? known: dense"),
    ("--flagfile=flags/spaces", "'--steps =' has a space before its =; write flags as --steps=VALUE"),
    ("--flagfile=flags/no_dashes", "'steps=10' is not a flag; did you mean --steps=10? write flags as --name=value"),
    ("--flagfile=flags/comment", "steps=10 # many holds a comment; give it a line of its own in the flagfile"),
    ("--schedule=piecewise", "--schedule=piecewise and --piecewise=STEP:RATE,... go together; give both or neither"),
]

# The same, of command lines that TensorFlow has to be asked for, or that a module has to be imported for.
WRONG_SURROUNDINGS = [
    (
        "--tower_devices=gpu:0",
        USAGE,
        "tower_devices=gpu:0 needs gpu:0, but no GPU is visible; ask for others, as --tower",
    ),
    ("--source=tfds:mnits", USAGE, "source=tfds:mnits is no data set of TFDS; did you mean mnist"),
    ("--grad_shards=2 --towers=4", USAGE, "2 shards do not split over 4 towers; use 1, 2 towers, or another"),
    ("--resume=required", USAGE, "resume=required, but run holds no checkpoint; check --run_dir, or --resume=auto"),
    ("--model=no_such_module:function", USAGE, "module no_such_module cannot be imported (ModuleNotFoundError"),
    ("--model=models_for_tests:raises", USAGE, "models_for_tests:raises raised ZeroDivisionError: division by zero at"),
    ("--source=idx:nowhere", BAD_DATA, "nowhere is not a directory; give the one with the idx files, as idx:DIR"),
]


@pytest.fixture(scope="module")
def wrong_flagfiles(tmp_path_factory):
    """Where `flags` lies, a directory of flag files as someone may write them who knows other formats."""
    directory = tmp_path_factory.mktemp("wrong") / "flags"
    directory.mkdir()
    contents = {"spaces": "--steps = 10\n", "no_dashes": "steps=10\n", "comment": "--steps=10 # many\n"}
    for name, content in contents.items():
        (directory / name).write_text(content)
    return directory.parent


@pytest.mark.parametrize(("argument", "line"), WRONG_FLAGS)
def test_a_wrong_flag_is_refused_before_anything_starts(argument, line, wrong_flagfiles):
    before = commands.contents(wrong_flagfiles)
    told = commands.refuse(USAGE, "train", "--run_dir=run", argument, cwd=wrong_flagfiles, fresh=True)
    assert told.startswith(f"usage: {line}")
    assert commands.contents(wrong_flagfiles) == before


def test_a_space_before_the_equals_sign_of_a_command_line(tmp_path):
    told = commands.refuse(USAGE, "train", "--steps", "=10", cwd=tmp_path, fresh=True)
    assert told == "usage: '--steps =10' has a space before its =; write it as --steps=10"


@pytest.mark.parametrize(("arguments", "code", "line"), WRONG_SURROUNDINGS)
def test_what_does_not_fit_the_surroundings_is_refused(arguments, code, line, tmp_path):
    told = commands.refuse(code, "train", *commands.SMALL, *arguments.split(), "--run_dir=run", cwd=tmp_path)
    assert line in told
    left = commands.contents(tmp_path)
    assert left.keys() <= {"run", "run/lock"}


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + header + array.astype(np.uint8).tobytes()


def mnist_like(directory, **wrong):
    """Four idx files; `wrong` replaces what one of them holds: train_labels=b'...'."""
    directory.mkdir()
    for prefix, count in (("train", 40), ("t10k", 10)):
        files = {"images-idx3": idx(np.zeros((count, 28, 28))), "labels-idx1": idx(np.arange(count) % 10)}
        for name, content in files.items():
            content = wrong.get(f"{prefix}_{name.partition('-')[0]}", content)
            (directory / f"{prefix}-{name}-ubyte").write_bytes(content)


# What is wrong with a file, and what the line must say: tests/test_sources_idx.py has the others.
WRONG_FILES = {
    "truncated": ({"train_images": idx(np.zeros((40, 28, 28)))[:-7]}, "train-images-idx3-ubyte holds 31353 bytes"),
    "label_11": ({"train_labels": idx(np.full(40, 11))}, "train-labels-idx1-ubyte: label 0 is 11; labels are 0 to 9"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_wrong_idx_file_is_named(case, tmp_path):
    wrong, line = WRONG_FILES[case]
    mnist_like(tmp_path / "data", **wrong)
    told = commands.refuse(BAD_DATA, "train", "--source=idx:data", "--run_dir=run", cwd=tmp_path)
    assert told.startswith("bad data: data/") and line in told


@pytest.fixture
def image_files(tmp_path):
    """A folder of 32 images in two classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1), dtype=np.uint8)
    for i, image in enumerate(pixels):
        write(tmp_path / "images" / "ab"[i % 2] / f"{i}.png", image)
    return tmp_path / "images"


def tear_image(path):
    """Leaves an image nothing but its header and its end."""
    content = path.read_bytes()
    path.write_bytes(content[:60] + content[-12:])


# Pictures that stay in memory are read once.
TORN_LATER = (
    *("--model=softmax", "--global_batch=4", "--grad_shards=1", "--eval_every=0", "--summary_every=0"),
    "--decoded_cache_mib=0",
)


def test_images_torn_in_mid_training_are_named(image_files, tmp_path):
    flags = (f"--source=folder:{image_files}", "--validation_fraction=0.1", "--checkpoint_every=1", "--steps=1000000")
    torn = [image_files / "b" / "9.png", image_files / "a" / "12.png"]
    with training(tmp_path / "run", *TORN_LATER, *flags) as live:
        assert live.until_step(2)
        for path in torn:
            tear_image(path)
        code, _, err = live.end()
    assert code == BAD_DATA and err.count("\n") == 1
    assert any(f"{path} cannot be decoded (" in err for path in torn)  # the other one may not be torn yet
    assert "; bring the original back; a run that has a checkpoint cannot go on without " in err
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert (tmp_path / "run" / "checkpoints" / f"ckpt-{max(steps)}.manifest.json").exists()


def test_images_torn_in_mid_training_of_two_workers_cost_no_step(image_files, tmp_path):
    """Whichever worker needs them, the chief saves the steps before, though no checkpoint was due."""
    contents = {path: path.read_bytes() for path in image_files.rglob("*.png")}
    flags = (*TORN_LATER, f"--source=folder:{image_files}", "--validation_fraction=0.1", "--checkpoint_every=0")
    run = RunDirectory(tmp_path / "run")
    with jobs.job(
        run.path, *flags, "--grad_shards=2", "--steps=1000000", "--steps_per_loop=4", "--log_every=4"
    ) as live:
        assert live.until_step(8)
        for path in list(contents)[::2]:
            tear_image(path)
        lines = live.all_end_with(BAD_DATA)
    assert all("cannot be decoded (" in line for line in lines)
    step = newest_step(run.checkpoints)
    assert step >= 8
    for path, content in contents.items():
        path.write_bytes(content)
    last = f"--steps={step + 4}"
    gone_on = jobs.train(run.path, *flags, "--grad_shards=2", last, "--decay_steps=1000000")
    alone = train(tmp_path / "alone", *flags, "--grad_shards=2", last, "--decay_steps=1000000")
    assert gone_on["parameters_sha256"] == alone["parameters_sha256"]


def test_an_image_found_torn_at_the_end_leaves_a_checkpoint(image_files, tmp_path):
    for split in ("train", "test"):
        shutil.copytree(image_files, tmp_path / "whole" / split)
    flags = (f"--source=folder:{tmp_path}/whole", "--steps=2000", "--checkpoint_every=0")
    with training(tmp_path / "run", *TORN_LATER, *flags) as live:
        assert live.until_step(2)
        tear_image(tmp_path / "whole" / "test" / "b" / "9.png")
        code, _, err = live.end()
    assert code == BAD_DATA
    assert err.startswith(f"bad data: {tmp_path}/whole/test/b/9.png cannot be decoded (")
    assert (tmp_path / "run" / "checkpoints" / "ckpt-2000.manifest.json").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            "--steps=30 --seed=2",
            "was started with another configuration (seed: 1 -> 2); use its own values, or another",
        ),
        ("--steps=30 --resume=never", "but {run} holds checkpoints; use another --run_dir, or --resume=auto"),
        ("--steps=30 --towers=3", "2 shards do not split over 3 towers; use 1, 2 towers"),
    ],
)
def test_a_run_that_cannot_go_on_so_is_not_touched(arguments, line, run_copy):
    before = commands.contents(run_copy)
    told = commands.refuse(USAGE, "train", *commands.SMALL, *arguments.split(), f"--run_dir={run_copy}")
    assert line.format(run=run_copy) in told
    assert commands.contents(run_copy) == before


@pytest.mark.parametrize("entry_point", ["evaluate", "predict", "inspect", "export"])
def test_a_directory_without_a_run(entry_point, tmp_path):
    files = ["image.png"] if entry_point == "predict" else []
    told = commands.refuse(USAGE, entry_point, "--run_dir=nowhere", *files, cwd=tmp_path)
    assert told == ("usage: run_dir=nowhere holds no run (no config.flags); give the --run_dir that a training printed")


@pytest.mark.parametrize(
    ("entry_point", "arguments", "line"),
    [
        (
            "evaluate",
            "--checkpoint=nonsense",
            "checkpoint=nonsense is not there; use latest, best or a step of: 10, 20",
        ),
        ("evaluate", "--steps=10", "--steps is a flag of train, and none of this command; --help lists those that are"),
        ("evaluate", "--eval_batch=x", "eval_batch=x is not a whole number; write it as --eval_batch=500"),
        ("evaluate", "--split=tests", "split=tests is unknown; did you mean test? known: test, validation, train"),
        ("evaluate", "--towers=2 --tower_devices=cpu:0", "towers=2 but tower_devices names 1; give one of the two"),
        ("predict", "", "no FILE was given; name PNG, JPEG or .npy files, folders or globs after the flags, or -"),
        ("predict", "--format=xml image.png", "format=xml is unknown; known: table, json"),
        ("inspect", "--checkpoint=15", "checkpoint=15 is not there; use latest, best or a step of: 10, 20"),
    ],
)
def test_what_a_run_does_not_have(entry_point, arguments, line, finished_run):
    told = commands.refuse(USAGE, entry_point, f"--run_dir={finished_run}", *arguments.split())
    assert told == f"usage: {line}"


def test_where_a_run_lies_is_told_to_who_looks_beside_it(finished_run, tmp_path):
    def told(*arguments):
        return commands.refuse(USAGE, "evaluate", *arguments, cwd=tmp_path)

    assert told() == "usage: no --run_dir was given; give the one that a training printed, as --run_dir=runs/NAME"
    assert f"is not a flag; did you mean --run_dir={finished_run}? write flags as" in told(str(finished_run))
    inside = f"one lies above it: give --run_dir={finished_run}"
    assert told(f"--run_dir={finished_run}/checkpoints").endswith(inside)
    assert told(f"--run_dir={finished_run}/config.flags").endswith(inside)
    above = finished_run.parent
    assert told(f"--run_dir={above}").endswith(f"1 lies below it: give one, as --run_dir={finished_run}")


def test_predict_names_the_file_that_it_cannot_read(finished_run, image_files):
    torn_image = image_files / "b" / "9.png"
    tear_image(torn_image)
    told = commands.refuse(BAD_DATA, "predict", f"--run_dir={finished_run}", torn_image)
    line = f"bad data: {torn_image} is not an image that can be decoded; give a PNG, JPEG or .npy file"
    assert told == f"{line}, or leave such files out by --skip_unreadable"


def test_steps_before_the_newest_checkpoint_of_an_unfinished_run(run_copy):
    metrics = run_copy / "metrics.jsonl"
    metrics.write_text("".join(line for line in metrics.open() if '"result"' not in line))
    before = commands.contents(run_copy)
    told = commands.refuse(USAGE, "train", *commands.SMALL, "--steps=10", f"--run_dir={run_copy}")
    assert told == "usage: steps=10 lies before the newest checkpoint, of step 20; give more"
    assert commands.contents(run_copy) == before


def test_a_run_that_diverges_keeps_its_last_checkpoint(tmp_path):
    arguments = (*commands.SMALL, "--optimizer=sgd", "--learning_rate=1e38", "--checkpoint_every=1", "--run_dir=run")
    told = commands.refuse(DIVERGED, "train", *arguments, cwd=tmp_path)
    assert told.startswith("diverged: at step 1 the loss is ")
    assert "logits/kernel, logits/bias" in told and "--learning_rate" in told
    assert " 1 " in commands.succeed("inspect", "--run_dir=run", "--verify", cwd=tmp_path)


def test_an_operation_without_a_kernel_is_named(tmp_path):
    arguments = ("--source=fake:600", "--model=models_for_tests:needs_a_gpu", "--run_dir=run")
    told = commands.refuse(USAGE, "train", *arguments, cwd=tmp_path)
    assert "/NcclAllReduce has no kernel for any device of this machine (those of NcclAllReduce are for GPU)" in told


def test_a_current_directory_that_is_gone(tmp_path):
    (tmp_path / "gone").mkdir()
    command = ["sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh", *commands.command("train", *commands.SMALL)]
    ended = subprocess.run(command, cwd=tmp_path / "gone", env=commands.environment(), capture_output=True, text=True)
    assert ended.returncode == USAGE and not ended.stdout
    [line] = ended.stderr.splitlines()
    assert line.startswith("usage: the current directory is gone (")


def test_a_reader_of_stdout_that_has_seen_enough(finished_run):
    reading, writing = os.pipe()
    os.close(reading)
    for arguments in (["train", "--help"], ["inspect", f"--run_dir={finished_run}"]):
        ended = commands.run(*arguments, stdout=writing)
        assert (ended.returncode, ended.stderr) == (0, "")
    os.close(writing)
    with open("/dev/full", "w") as full:
        told = commands.refuse(STORAGE, "train", "--help", stdout=full)
    assert told == "storage: stdout cannot be written: no space is left; free some, or send it elsewhere"


def test_what_a_file_holds_is_shown_without_its_control_characters(tmp_path):
    (tmp_path / "list.csv").write_text("path,label,\x1b[31m\n\x1b[2J.jpg,a,1\nb.jpg,b,1\n")
    ended = commands.run("train", "--source=csv:list.csv", "--image_size=8", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (ExitCode.BAD_DATA, "")
    missing = "cannot be read (No such file or directory)"
    assert ended.stderr.splitlines() == [
        r"WARNING: list.csv: not read of its columns: \x1b[31m",
        rf"bad data: 2 files cannot be used: list.csv: line 2: \x1b[2J.jpg {missing}, list.csv: line 3: b.jpg {missing}"
        "; replace or remove them",
    ]
