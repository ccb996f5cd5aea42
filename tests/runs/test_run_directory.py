import os
import signal
import subprocess
import sys

import pytest

from pipeline.config import Config
from pipeline.errors import ExitCode, StorageError, UsageError
from pipeline.runs.run_directory import RunDirectory

HOLD = """
import sys
from pathlib import Path
from pipeline.runs.run_directory import RunDirectory
with RunDirectory(Path(sys.argv[1])).own():
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that owns the directory."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run"], **pipes) as process:
        assert process.stdout.readline() == "mine\n"
        yield process
        process.kill()


def own_and_leave(path) -> None:
    with RunDirectory(path).own():
        pass


def test_a_directory_has_one_owner(tmp_path, holder):
    with pytest.raises(StorageError, match=rf"belongs to a live run \(process {holder.pid} on .*\); wait") as raised:
        own_and_leave(tmp_path / "run")
    assert raised.value.code == ExitCode.STORAGE
    assert f"process {holder.pid}" in (tmp_path / "run" / "lock").read_text()  # whoever was refused left no mark


@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_the_end_of_the_owner_frees_it_however_it_ends(tmp_path, holder, end):
    if end:
        holder.send_signal(end)
    else:
        holder.stdin.close()
    holder.wait()
    with RunDirectory(tmp_path / "run").own():
        assert f"process {os.getpid()} on " in (tmp_path / "run" / "lock").read_text()
    own_and_leave(tmp_path / "run")


def test_what_is_recorded_is_read_back(tmp_path):
    run = RunDirectory(tmp_path)
    assert run.recorded() is None
    config = Config(seed=7, learning_rate=0.1 + 0.2, augment="shift:2,flip", soft_device_placement=True)
    run.record(config)
    assert run.recorded() == config
    assert [path.name for path in tmp_path.iterdir()] == ["config.flags"]


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path):
    run = RunDirectory(tmp_path)
    run.write(run.placement, "old")
    (tmp_path / "unfinished.txt").mkdir()  # so that the new text cannot be written
    with pytest.raises(StorageError, match=r"placement.txt cannot be read or written: .*; free some space"):
        run.write(run.placement, "new")
    assert run.placement.read_text() == "old"


# --- to read from ---


def test_a_run_to_read_from_must_be_there(tmp_path):
    for path in ("", str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(UsageError, match=r"holds no run|no --run_dir was given"):
            RunDirectory.existing(path)
    RunDirectory(tmp_path).record(Config())
    assert RunDirectory.existing(str(tmp_path)).recorded() == Config()


def test_a_directory_of_data_has_one_spelling_in_what_was_recorded(tmp_path):
    """A run that an earlier version recorded as folder:data/ goes on when folder:data is asked for."""
    directory = RunDirectory(tmp_path)
    directory.record(Config(source="folder:./data/"))
    assert directory.recorded() == Config(source="folder:data")
