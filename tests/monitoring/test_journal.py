"""A journal is read back by the programs that people use, after kills, on full disks, and straight through."""

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from told_run import LAST, curves, event_files, finish, lines, loss, num_graphs, start, tell

from pipeline.errors import ExitCode, StorageError
from pipeline.monitoring.journal import Journal, markdown_table

NOBODY = 65534  # a user

# --- one run, never stopped ---


def test_a_line_holds_event_step_time_and_values(tmp_path):
    journal = Journal(tmp_path, 0)
    journal.event("checkpoint", 5, seconds=0.25, bytes=np.int64(7), accuracy=np.float32(0.5), names=("a", "b"))
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert list(line) == ["event", "step", "time", "seconds", "bytes", "accuracy", "names"]
    assert line.pop("time") == pytest.approx(time.time(), abs=10)
    assert line == {
        "event": "checkpoint", "step": 5, "seconds": 0.25, "bytes": 7, "accuracy": 0.5, "names": ["a", "b"]
    }  # fmt: skip


def test_numbers_that_are_not_finite_are_null(tmp_path):
    journal = Journal(tmp_path, 0)
    journal.event(
        "diverged", 5, loss=float("nan"), norms=[np.float32("inf"), -np.inf, 1.0], array=np.array([np.nan, 2])
    )
    expected = {"event": "diverged", "step": 5, "loss": None, "norms": [None, None, 1.0], "array": [None, 2.0]}
    assert lines(tmp_path) == [expected]


def test_everything_told_is_in_its_file_at_once(tmp_path):
    journal = start(tmp_path, 0)
    tell(journal, 1, 4)  # neither flushed nor closed
    assert [(line["event"], line["step"]) for line in lines(tmp_path)] == [
        ("train", 1), ("train", 2), ("validation", 2), ("checkpoint", 2),
        ("train", 3), ("train", 4), ("validation", 4), ("checkpoint", 4),
    ]  # fmt: skip
    found = curves(tmp_path)
    assert found["train", "curves/loss"] == [(s, (), pytest.approx(loss(s), rel=1e-7)) for s in (1, 2, 3, 4)]
    assert found["validation", "curves/loss"] == [(s, (), pytest.approx(loss(s) + 1, rel=1e-7)) for s in (2, 4)]
    assert [tag for run, tag in found if run == "validation"] == [
        *("per_class_accuracy/a", "errors/confusion", "curves/loss", "curves/accuracy"),
    ]


def test_histograms_count_finite_values(tmp_path):
    array = np.array([[0.0, 1.0, 2.0], [2.0, np.nan, np.inf]], np.float32)
    Journal(tmp_path, 0).histograms(3, {"parameters/kernel": array, "constant": np.ones(5)})
    [(step, shape, buckets)] = curves(tmp_path)["train", "parameters/kernel"]
    assert (step, shape) == (3, (30, 3))
    assert sum(count for _, _, count in buckets) == 4
    assert (buckets[0][0], buckets[-1][1], buckets[-1][2]) == (0.0, 2.0, 2)
    assert curves(tmp_path)["train", "constant"][0][2][-1] == [1.0, 1.0, 5.0]


def test_result_is_the_last_line_of_the_file_and_of_stdout(tmp_path, capsys):
    journal = Journal(tmp_path, 0)
    journal.progress("step 10 of 10")
    journal.result(10, test_accuracy=0.99, test_loss=float("inf"))
    journal.flush()
    journal.close()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "step 10 of 10"
    assert printed[-1] == (tmp_path / "metrics.jsonl").read_text().splitlines()[-1]
    result = json.loads(printed[-1])
    assert (result["event"], result["step"], result["test_accuracy"], result["test_loss"]) == ("result", 10, 0.99, None)


# --- stopped and resumed ---


def test_a_run_killed_anywhere_and_resumed_anywhere_tells_what_one_never_stopped_does(tmp_path):
    straight = tmp_path / "straight"
    journal = start(straight, 0)
    tell(journal, 1, LAST)
    finish(journal)
    for restored in range(LAST + 1):
        run_dir = tmp_path / str(restored)
        journal = start(run_dir, 0)
        tell(journal, 1, LAST)
        finish(journal)  # killed: never closed
        journal = start(run_dir, restored)
        if restored == 4:
            tell(journal, restored + 1, LAST - 1)
            journal = start(run_dir, restored)  # killed again before the next checkpoint
        tell(journal, restored + 1, LAST)
        finish(journal)
        assert lines(run_dir) == lines(straight)
        resumed, expected = curves(run_dir), curves(straight)
        texts = resumed.pop(("train", "configuration")), expected.pop(("train", "configuration"))
        assert [step for step, _, _ in texts[0]] == sorted({0, restored})
        assert resumed == expected
        assert num_graphs(run_dir) == len({0, restored})


@pytest.mark.parametrize("killed_after", ["points", "picture", "scalars", "line"])
def test_scores_of_the_step_that_is_resumed_are_shown_whole_or_told_anew(tmp_path, killed_after, monkeypatch):
    journal = Journal(tmp_path, 0)
    journal.scalars("test", 2, {"loss": 1.0})
    journal.points("test", 4, {"per_class_accuracy/a": 0.5})
    if killed_after != "points":
        journal.pictures("test", 4, {"errors/confusion": Image.new("RGB", (2, 2))})
    if killed_after == "scalars":
        monkeypatch.setattr(Journal, "event", lambda *_, **__: None)
    if killed_after in ("scalars", "line"):
        journal.scalars("test", 4, {"loss": 0.5})
    Journal(tmp_path, 4)
    told = killed_after == "line"
    shown = {tag: [step for step, _, _ in points] for (_, tag), points in curves(tmp_path).items()}
    assert shown.pop("curves/loss") == ([2, 4] if told else [2])
    assert shown == ({"per_class_accuracy/a": [4], "errors/confusion": [4]} if told else {})


def test_starting_from_the_end_leaves_the_files_as_they_are(tmp_path):
    tell(Journal(tmp_path, 0), 1, LAST)
    paths = [tmp_path / "metrics.jsonl", *event_files(tmp_path)]
    before = [(path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in paths]
    Journal(tmp_path, LAST)
    assert [(path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in paths] == before
    assert not list(tmp_path.rglob("unfinished*"))


def test_a_line_cut_short_anywhere_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    journal = Journal(tmp_path, 0)
    journal.event("train", 1, loss=1.0)
    whole = path.read_bytes()
    journal.event("train", 2, name="ü", loss=2.0)
    both = path.read_bytes()
    for cut in range(len(whole), len(both)):
        path.write_bytes(both[:cut])
        Journal(tmp_path, 2)
        assert path.read_bytes() == whole
    path.write_bytes(whole + b"\0" * 100)  # what a power cut may leave
    Journal(tmp_path, 2).event("train", 2, loss=2.0)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]


@pytest.mark.parametrize("garbage", [b"\xff\xfe", b"[1, 2]", b'{"a": 1}', b'{"step": null}', b"", b'{"step": 1'])
def test_a_line_that_is_no_line_of_ours_is_an_error_and_stays(tmp_path, garbage):
    path = tmp_path / "metrics.jsonl"
    Journal(tmp_path, 0).event("train", 1, loss=1.0)
    content = path.read_bytes() + garbage + b"\n" + path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"metrics\.jsonl:2: .*mend or delete that line") as raised:
        Journal(tmp_path, 0)
    assert raised.value.code == ExitCode.STORAGE
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == content


# --- a disk that does not do as told ---


@contextlib.contextmanager
def file_size_limit(num_bytes: int):
    """No file of this process can grow beyond num_bytes: what a full disk does, without a disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount the tiny disk of this test")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_metrics_file_that_cannot_grow_is_an_error_and_recovers(tmp_path):
    journal = Journal(tmp_path, 0)
    journal.event("train", 1, loss=1.0)
    before = lines(tmp_path)
    limit = file_size_limit((tmp_path / "metrics.jsonl").stat().st_size + 10)
    with limit, pytest.raises(StorageError, match=r"metrics\.jsonl cannot be .* written: File too large; free some"):
        journal.event("train", 2, loss=2.0)
    Journal(tmp_path, 1)
    assert lines(tmp_path) == before


def test_an_event_file_that_cannot_grow_is_an_error_at_that_very_call(tmp_path):
    journal = Journal(tmp_path, 0)
    journal.histograms(1, {"kernel": np.arange(5.0)})
    [path] = event_files(tmp_path)
    limit = file_size_limit(path.stat().st_size + 10)
    with limit, pytest.raises(StorageError, match=r"tfevents\.\S* cannot be .* written: File too large; free some"):
        journal.histograms(2, {"kernel": np.arange(5.0)})
    Journal(tmp_path, 2)
    assert [step for step, _, _ in curves(tmp_path)["train", "kernel"]] == [1]


def test_a_full_disk_is_an_error_at_every_call_and_costs_nothing_told_before(tiny_disk):
    journal = Journal(tiny_disk, 0)
    tell(journal, 1, 4)
    with contextlib.suppress(OSError), (tiny_disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(512))
    calls = [
        lambda: [journal.event("train", 5, text="x" * 100) for _ in range(100)],
        lambda: [journal.histograms(5, {"kernel": np.arange(5.0)}) for _ in range(10)],
        lambda: [journal.scalars("test", 5, {"loss": 1.0}) for _ in range(100)],
        lambda: Journal(tiny_disk, 3),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="No space left on device"):
            call()
    assert not list(tiny_disk.rglob("unfinished*"))
    (tiny_disk / "ballast").unlink()
    Journal(tiny_disk, 4)
    assert [line["step"] for line in lines(tiny_disk)] == [1, 2, 2, 2, 3, 4, 4, 4]
    assert [step for step, _, _ in curves(tiny_disk)["train", "curves/loss"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("taken", ["metrics.jsonl/x", "tensorboard", "tensorboard/train"])
def test_a_path_that_is_something_else_is_an_error(tmp_path, taken):
    (tmp_path / taken).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / taken).touch()
    with pytest.raises(StorageError, match=f"{taken.partition('/')[0]}.* cannot be read or written"):
        Journal(tmp_path, 0).scalars("train", 1, {"loss": 1.0})


@contextlib.contextmanager
def not_as_root():
    """Root may write everywhere; nobody may not."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path):
    tmp_path.chmod(0o500)
    with not_as_root(), pytest.raises(StorageError, match="Permission denied; free some space or allow access"):
        Journal(tmp_path / "run", 0)


TELLS_TO_THE_END = """
import sys
from pathlib import Path
from pipeline.errors import PipelineError
from pipeline.monitoring.journal import Journal
from pipeline.process.exits import exit_with
try:
    journal = Journal(Path(sys.argv[1]), 0)
    journal.progress("step 1")
    journal.event("train", 1)
    journal.result(2, test_accuracy=0.5)
except PipelineError as error:
    exit_with(error)
"""


def told_to(stdout, run_dir: Path) -> tuple[int, str]:
    """The exit code, and the last line on stderr, of a program that tells a run to its end."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", TELLS_TO_THE_END, run_dir]
    ended = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=buffered)
    assert [line["event"] for line in lines(run_dir)] == ["train", "result"]
    return ended.returncode, (ended.stderr.splitlines() or [""])[-1]


def test_a_run_is_told_to_its_end_where_stdout_is_full_and_the_exit_code_says_so(tmp_path):
    with open("/dev/full", "w") as full:
        code, line = told_to(full, tmp_path)
    assert code == ExitCode.STORAGE
    assert line.startswith("storage: stdout cannot be written: No space left on device; the run is whole in its")


def test_a_run_is_told_to_its_end_where_nobody_reads_stdout_any_more(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    code, line = told_to(writer, tmp_path)
    os.close(writer)
    assert code == ExitCode.DONE and not line.startswith("storage")


def test_markdown_table_quotes_what_markdown_would_read_as_its_own():
    table = markdown_table({"grad_shards": 4, "augment": "", "piecewise": "0:0.1|5:*2*"})
    assert table.splitlines()[2:] == ["| `grad_shards` | `4` |", "| `augment` | |", "| `piecewise` | `0:0.1|5:*2*` |"]
