"""A run from its flags to its loop, in this process: whatever cannot go on says so before anything is touched."""

import json
import shutil
from pathlib import Path

import commands
import numpy as np
import pytest
from PIL import Image
from small_run import INTRA_OP_THREADS

from pipeline.config import Config
from pipeline.engine import state
from pipeline.errors import BadDataError, PreemptedError, StorageError, UsageError
from pipeline.process.preemption import Preemption
from pipeline.runs import loop, opening
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory

FLAGS = {
    "source": "fake:60", "model": "models_for_tests:linear", "optimizer": "sgd", "global_batch": 6, "steps": 12,
    "steps_per_loop": 5, "checkpoint_every": 4, "eval_every": 0, "log_every": 0, "eval_batch": 10,
    "intra_op_threads": INTRA_OP_THREADS, "quiet": True,
}  # fmt: skip


def train(run_dir: Path, stop: Preemption | None = None, when_open=lambda: None, **fields) -> dict:
    """Trains as the command does; the result line. when_open: called between the start and the first step."""
    asked = Config(**(FLAGS | fields), run_dir=str(run_dir))
    asked.validate()
    with opening.opened(asked, stop or Preemption()) as run:
        if run:
            when_open()
            loop.train(run)
    return RunDirectory(run_dir).history().result


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run. Not to be changed."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    train(run_dir)
    return run_dir


@pytest.fixture
def run_dir(finished, tmp_path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


# --- a start from scratch must never bury a run ---


def lose_directory(run_dir: Path) -> None:
    shutil.rmtree(run_dir / "checkpoints")


def lose_disk(run_dir: Path) -> None:
    shutil.rmtree(run_dir / "checkpoints")
    (run_dir / "checkpoints").symlink_to("/mnt/of/a/disk/that/is/not/there")


def lose_files(run_dir: Path) -> None:
    for path in (run_dir / "checkpoints").iterdir():
        path.unlink()


def keep_damaged_alone(run_dir: Path) -> None:
    (run_dir / "metrics.jsonl").unlink()
    for path in (run_dir / "checkpoints").iterdir():
        path.rename(path.with_name(f"damaged-{path.name}"))


@pytest.mark.parametrize("lose", [lose_directory, lose_disk, lose_files, keep_damaged_alone])
@pytest.mark.parametrize("resume", ["auto", "never"])
def test_lost_checkpoints_are_no_reason_to_start_from_scratch(run_dir, lose, resume):
    lose(run_dir)
    before = commands.contents(run_dir)
    with pytest.raises(
        StorageError, match=r"holds no checkpoint, but .*; bring it back .is its disk mounted..*, or start"
    ):
        train(run_dir, steps=15, resume=resume)
    after = commands.contents(run_dir)
    assert {**after, "lock": None} == {**before, "lock": None}


def test_a_finished_run_says_so_without_its_checkpoints(run_dir, capsys):
    shutil.rmtree(run_dir / "checkpoints")
    result = train(run_dir, quiet=False)
    assert result["step"] == 12
    assert "finished already, at step 12" in capsys.readouterr().out


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_anew(finished, tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    directory.config.write_bytes((finished / "config.flags").read_bytes())
    directory.metrics.write_text(json.dumps({"event": "start", "step": 0, "time": 1.0}) + "\n")
    assert train(directory.path)["parameters_sha256"] == RunDirectory(finished).history().result["parameters_sha256"]


@pytest.mark.parametrize("fields", [{"resume": "required"}, {"grad_shards": 3, "towers": 2}])
def test_a_start_that_is_refused_leaves_the_disk_as_it_was(tmp_path, fields):
    with pytest.raises(UsageError):
        train(tmp_path / "new" / "run", **fields)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "run").mkdir()
    with pytest.raises(UsageError):
        train(tmp_path / "run", **fields)
    assert list((tmp_path / "run").iterdir()) == []


# --- endings ---


def test_a_stop_file_that_is_a_directory_stops_the_run_and_is_taken_away(tmp_path):
    stop = Preemption()
    stop.ask("R/stop")
    (tmp_path / "run" / "stop").mkdir(parents=True)
    with pytest.raises(PreemptedError, match="the same command goes on from there"):
        train(tmp_path / "run", stop)
    assert not (tmp_path / "run" / "stop").exists()


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Two classes of 24 pictures to train on, 8 to validate and 8 to test with."""
    draws = np.random.default_rng(1)
    for split, count in (("train", 24), ("validation", 8), ("test", 8)):
        for label in ("blue", "red"):
            directory = tmp_path / "data" / split / label
            directory.mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(0, 256, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(directory / f"{number}.png")
    return tmp_path / "data"


def damage(path: Path) -> None:
    """Spoils the pixels; the file's begin and end stay."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(8)
    path.write_bytes(content)


def test_the_checkpoint_that_is_due_is_saved_before_a_broken_validation_split_is_read(tmp_path, pictures):
    victim = pictures / "validation" / "red" / "3.png"
    with pytest.raises(BadDataError, match=r"red/3\.png"):
        train(tmp_path / "run", when_open=lambda: damage(victim), source=f"folder:{pictures}", eval_every=4)
    assert Checkpoints(tmp_path / "run" / "checkpoints").verify(4).step == 4


def test_the_last_good_state_is_saved_before_a_broken_example_ends_the_run(tmp_path, pictures):
    """It is the state of a run that was to end there, to the bit; and the same command goes on with a sound picture."""
    flags = {"source": f"folder:{pictures}", "checkpoint_every": 0}
    straight = train(tmp_path / "straight", **flags)
    victim = pictures / "train" / "blue" / "7.png"
    sound = victim.read_bytes()
    with pytest.raises(BadDataError, match=r"blue/7\.png"):
        train(tmp_path / "run", when_open=lambda: damage(victim), **flags)
    [step] = Checkpoints(tmp_path / "run" / "checkpoints").steps()
    assert 0 < step < 12
    victim.write_bytes(sound)
    train(tmp_path / "short", **flags, decay_steps=12, **{"steps": step})
    saved, short = (Checkpoints(tmp_path / name / "checkpoints").read(step) for name in ("run", "short"))
    assert state.state_sha256(saved.values, step) == state.state_sha256(short.values, step)
    assert train(tmp_path / "run", **flags)["parameters_sha256"] == straight["parameters_sha256"]


# --- other hardware ---


def test_a_resume_on_other_hardware_says_from_which_step_on(run_dir, monkeypatch, capsys):
    manifest = Checkpoints(run_dir / "checkpoints").manifest(12)
    assert manifest.hardware["machine"] and manifest.hardware["variables"] == ""
    assert not any(event["event"] == "hardware" for event in RunDirectory(run_dir).history().events)
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")  # read anew at every start; too late for this process
    with pytest.raises(UsageError) as told:
        train(run_dir, steps=16, same_hardware="required")
    assert str(told.value) == (
        "same_hardware=required, but ckpt-12 was computed on other hardware (variables: none -> "
        "ONEDNN_DEFAULT_FPMATH_MODE=BF16); go back to it, or give --same_hardware=told to go on with other bits"
    )
    train(run_dir, steps=16, quiet=False)
    [event] = [event for event in RunDirectory(run_dir).history().events if event["event"] == "hardware"]
    assert (event["step"], event["now"]["variables"]) == (12, "ONEDNN_DEFAULT_FPMATH_MODE=BF16")
    assert "from step 12 on the run uses other hardware (variables: none -> ONEDNN_DEFAULT_FPMATH_MODE=BF16)" in (
        capsys.readouterr().out
    )
    monkeypatch.delenv("ONEDNN_DEFAULT_FPMATH_MODE")
    train(run_dir, steps=20)
    assert [e["step"] for e in RunDirectory(run_dir).history().events if e["event"] == "hardware"] == [12, 16]
