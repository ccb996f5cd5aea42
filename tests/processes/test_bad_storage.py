"""Disks that fail and runs that are damaged, as command lines: one line on stderr, and the exit code."""

import os
import shutil
import subprocess

import commands
import pytest
import tensorflow as tf

from pipeline.errors import ExitCode
from pipeline.runs.run_directory import RunDirectory

STORAGE = ExitCode.STORAGE


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("kept")
    told = commands.refuse(STORAGE, "train", *commands.SMALL, "--run_dir=file/run", cwd=tmp_path)
    assert told == "storage: run_dir=file/run cannot be written (Not a directory); choose another --run_dir"
    told = commands.refuse(STORAGE, "train", *commands.SMALL, "--run_dir=file", cwd=tmp_path)
    assert told.startswith("storage: run_dir=file cannot be written (a file of that name is in the way);")
    assert (tmp_path / "file").read_text() == "kept"


@pytest.fixture
def mounted(tmp_path):
    """Mounts a file system in memory, of the options given, and returns where."""
    directory = tmp_path / "mounted"
    directory.mkdir()

    def mount(options):
        ended = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", directory], capture_output=True)
        if ended.returncode:
            pytest.skip(f"a file system cannot be mounted here: {ended.stderr.decode().strip()}")
        return directory

    yield mount
    subprocess.run(["umount", directory], capture_output=True)


def test_a_directory_that_is_read_only(mounted):
    told = commands.refuse(STORAGE, "train", *commands.SMALL, f"--run_dir={mounted('ro')}/run")
    assert "cannot be written (Read-only file system); choose another --run_dir" in told


def test_a_full_file_system_leaves_the_checkpoints_that_are_whole(mounted):
    run = mounted("size=300k") / "run"
    arguments = (*commands.SMALL, f"--run_dir={run}")
    told = commands.refuse(STORAGE, "train", *arguments, "--steps=60")
    assert "No space left on device" in told and "free some space" in told
    kept = commands.succeed("inspect", f"--run_dir={run}", "--verify")
    assert " 10 " in kept and " 60 " not in kept


def test_a_file_that_may_not_grow_is_a_storage_error(tmp_path):
    limited = ("bash", "-c", 'ulimit -f 64; exec "$@"', "bash")  # KiB; a checkpoint's data are 94
    told = commands.refuse(STORAGE, "train", *commands.SMALL, "--run_dir=run", cwd=tmp_path, prefix=limited)
    assert "File too large" in told


def test_a_live_run_keeps_its_directory(run_copy):
    with RunDirectory(run_copy).own():
        before = commands.contents(run_copy)
        told = commands.refuse(STORAGE, "train", *commands.SMALL, "--steps=30", f"--run_dir={run_copy}")
        assert commands.contents(run_copy) == before
    assert f"belongs to a live run (process {os.getpid()} on " in told
    assert "wait for its end, or choose another --run_dir" in told


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def tear(path):
    path.write_bytes(path.read_bytes()[:-100])


def test_a_start_from_scratch_never_buries_damaged_checkpoints(run_copy):
    flip_a_bit(run_copy / "checkpoints" / "ckpt-20.data-00000-of-00001")
    tear(run_copy / "checkpoints" / "ckpt-10.data-00000-of-00001")
    before = commands.contents(run_copy)
    told = commands.refuse(STORAGE, "train", *commands.SMALL, "--steps=30", f"--run_dir={run_copy}")
    assert "ckpt-20.data-00000-of-00001 is damaged" in told and "ckpt-10.data-00000-of-00001 is damaged" in told
    assert commands.contents(run_copy) == before


def test_a_foreign_checkpoint_is_not_restored(run_copy, tmp_path):
    shutil.rmtree(run_copy / "checkpoints")
    foreign = tf.train.Checkpoint(global_step=tf.Variable(20, dtype=tf.int64))
    foreign.write(str(run_copy / "checkpoints" / "ckpt-20"))
    told = commands.refuse(STORAGE, "train", *commands.SMALL, "--steps=30", f"--run_dir={run_copy}")
    assert "ckpt-20 is not whole" in told and "ckpt-20.manifest.json is missing" in told


def test_a_damaged_checkpoint_is_passed_over_with_the_reason(run_copy):
    flip_a_bit(run_copy / "checkpoints" / "ckpt-20.index")
    told = commands.succeed("train", *commands.SMALL, "--steps=30", "--eval_batch=30", f"--run_dir={run_copy}")
    lines = told.splitlines()
    assert lines[0].startswith("passed over: ") and "ckpt-20.index is damaged" in lines[0]
    assert lines[1].startswith("resumed at step 10, ")


@pytest.mark.parametrize("entry_point", ["train", "evaluate"])
def test_a_configuration_edited_into_nonsense(entry_point, run_copy):
    path = run_copy / "config.flags"
    path.write_text(path.read_text().replace("--optimizer=adam", "--optimizer=best"))
    before = commands.contents(run_copy)
    flags = (*commands.SMALL, "--steps=30") if entry_point == "train" else ()
    told = commands.refuse(STORAGE, entry_point, *flags, f"--run_dir={run_copy}")
    assert f"{path} is damaged: optimizer=best is unknown; known: sgd" in told
    assert told.endswith("bring the original back, or use another --run_dir")
    assert commands.contents(run_copy) == before


def test_a_placement_that_is_no_text_is_no_reason_to_have_no_report(run_copy):
    (run_copy / "placement.txt").write_bytes(b"\xff\xfe\0")
    commands.succeed("report", "--noscore", f"--run_dir={run_copy}")
