"""A report is read back by the programs that people use: a JSON parser, TensorBoard's own loader, a live TensorBoard."""

import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util

from pipeline import events
from pipeline.exits import ExitCode, StorageError
from pipeline.report import Report, markdown_table

LAST = 8  # the step at which the runs told here are finished


def no_constants(name):
    raise AssertionError(f"{name} is not JSON")


def lines(run_dir: Path) -> list[dict]:
    """The lines of metrics.jsonl by strict JSON, without their time."""
    told = [json.loads(line, parse_constant=no_constants) for line in (run_dir / "metrics.jsonl").open()]
    return [{key: value for key, value in line.items() if key != "time"} for line in told]


def curves(run_dir: Path) -> dict:
    """Every point that TensorBoard's loader finds, purging nothing itself: {(run, tag): [(step, shape, values)]}."""
    found = {}
    for run in sorted(path.name for path in (run_dir / "tensorboard").iterdir()):
        accumulator = EventAccumulator(str(run_dir / "tensorboard" / run), {"tensors": 0}, purge_orphaned_data=False)
        accumulator.Reload()
        for tag in accumulator.Tags()["tensors"]:
            arrays = [(e.step, tensor_util.make_ndarray(e.tensor_proto)) for e in accumulator.Tensors(tag)]
            found[run, tag] = [(step, array.shape, array.tolist()) for step, array in arrays]
    return found


def loss(step: int) -> float:
    return 1 / step


def tell(report: Report, first: int, last: int) -> None:
    """What a run tells of steps first ... last; all that is told is a function of the step."""
    for step in range(first, last + 1):
        report.scalars("train", step, {"loss": loss(step), "accuracy": step / 10})
        if step % 2 == 0:
            report.scalars("validation", step, {"loss": loss(step) + 1, "accuracy": 0.5})
            report.histograms(step, {"parameters/conv1/kernel": np.arange(step + 1.0)})
            report.event("checkpoint", step, bytes=1000)


def start(run_dir: Path, step: int) -> Report:
    """A start of the run from `step`."""
    report = Report(run_dir, step)
    report.text("configuration", markdown_table({"towers": 2}), step)
    report.graph(tf.compat.v1.GraphDef(node=[{"name": "x", "op": "Const"}]))
    return report


def num_graphs(run_dir: Path) -> int:
    loaders = [EventFileLoader(str(path)) for path in event_files(run_dir)]
    return sum(event.HasField("graph_def") for loader in loaders for event in loader.Load())


def event_files(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "tensorboard").glob("*/*"))


# --- one run, never stopped ---


def test_a_line_holds_event_step_time_and_values(tmp_path):
    report = Report(tmp_path, 0)
    report.event("checkpoint", 5, seconds=0.25, bytes=np.int64(7), accuracy=np.float32(0.5), names=("a", "b"))
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert list(line) == ["event", "step", "time", "seconds", "bytes", "accuracy", "names"]
    assert line.pop("time") == pytest.approx(time.time(), abs=10)
    assert line == {
        "event": "checkpoint", "step": 5, "seconds": 0.25, "bytes": 7, "accuracy": 0.5, "names": ["a", "b"]
    }  # fmt: skip


def test_numbers_that_are_not_finite_are_null(tmp_path):
    report = Report(tmp_path, 0)
    report.event("diverged", 5, loss=float("nan"), norms=[np.float32("inf"), -np.inf, 1.0], array=np.array([np.nan, 2]))
    expected = {"event": "diverged", "step": 5, "loss": None, "norms": [None, None, 1.0], "array": [None, 2.0]}
    assert lines(tmp_path) == [expected]


def test_everything_told_is_in_its_file_at_once(tmp_path):
    report = start(tmp_path, 0)
    tell(report, 1, 4)  # neither flushed nor closed
    assert [(line["event"], line["step"]) for line in lines(tmp_path)] == [
        ("train", 1), ("train", 2), ("validation", 2), ("checkpoint", 2),
        ("train", 3), ("train", 4), ("validation", 4), ("checkpoint", 4),
    ]  # fmt: skip
    found = curves(tmp_path)
    assert found["train", "loss"] == [(s, (), pytest.approx(loss(s), rel=1e-7)) for s in (1, 2, 3, 4)]
    assert found["validation", "loss"] == [(s, (), pytest.approx(loss(s) + 1, rel=1e-7)) for s in (2, 4)]
    assert [tag for run, tag in found if run == "validation"] == ["loss", "accuracy"]


def test_histograms_count_finite_values(tmp_path):
    array = np.array([[0.0, 1.0, 2.0], [2.0, np.nan, np.inf]], np.float32)
    Report(tmp_path, 0).histograms(3, {"parameters/kernel": array, "constant": np.ones(5)})
    [(step, shape, buckets)] = curves(tmp_path)["train", "parameters/kernel"]
    assert (step, shape) == (3, (30, 3))
    assert sum(count for _, _, count in buckets) == 4
    assert (buckets[0][0], buckets[-1][1], buckets[-1][2]) == (0.0, 2.0, 2)
    assert curves(tmp_path)["train", "constant"][0][2][-1] == [1.0, 1.0, 5.0]


def test_result_is_the_last_line_of_the_file_and_of_stdout(tmp_path, capsys):
    report = Report(tmp_path, 0)
    report.progress("step 10 of 10")
    report.result(10, test_accuracy=0.99, test_loss=float("inf"))
    report.close()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "step 10 of 10"
    assert printed[-1] == (tmp_path / "metrics.jsonl").read_text().splitlines()[-1]
    result = json.loads(printed[-1])
    assert (result["event"], result["step"], result["test_accuracy"], result["test_loss"]) == ("result", 10, 0.99, None)


# --- stopped and resumed ---


def test_a_run_killed_anywhere_and_resumed_anywhere_tells_what_one_never_stopped_does(tmp_path):
    straight = tmp_path / "straight"
    tell(start(straight, 0), 1, LAST)
    for restored in range(LAST + 1):
        run_dir = tmp_path / str(restored)
        tell(start(run_dir, 0), 1, LAST)  # killed: never closed
        report = start(run_dir, restored)
        if restored == 4:
            tell(report, restored + 1, LAST - 1)
            report = start(run_dir, restored)  # killed again before the next checkpoint
        tell(report, restored + 1, LAST)
        assert lines(run_dir) == lines(straight)
        resumed, expected = curves(run_dir), curves(straight)
        texts = resumed.pop(("train", "configuration")), expected.pop(("train", "configuration"))
        assert [step for step, _, _ in texts[0]] == sorted({0, restored})
        assert resumed == expected
        assert num_graphs(run_dir) == len({0, restored})


def test_starting_from_the_end_leaves_the_files_as_they_are(tmp_path):
    tell(Report(tmp_path, 0), 1, LAST)
    paths = [tmp_path / "metrics.jsonl", *event_files(tmp_path)]
    before = [(path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in paths]
    Report(tmp_path, LAST)
    assert [(path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in paths] == before
    assert not list(tmp_path.rglob("unfinished"))


def test_event_files_are_named_in_the_order_of_their_steps_whatever_the_clock_says(tmp_path):
    directory = tmp_path / "tensorboard" / "train"
    directory.mkdir(parents=True)
    future = directory / "events.out.tfevents.4000000000.elsewhere"
    future.touch()
    for step in range(3):
        Report(tmp_path, step)
    numbers = [int(path.name.split(".")[3]) for path in event_files(tmp_path)]
    assert numbers == [4000000000 + i for i in range(4)]


def test_a_line_cut_short_anywhere_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    report = Report(tmp_path, 0)
    report.event("train", 1, loss=1.0)
    whole = path.read_bytes()
    report.event("train", 2, name="ü", loss=2.0)
    both = path.read_bytes()
    for cut in range(len(whole), len(both)):
        path.write_bytes(both[:cut])
        Report(tmp_path, 2)
        assert path.read_bytes() == whole
    path.write_bytes(whole + b"\0" * 100)  # what a power cut may leave
    Report(tmp_path, 2).event("train", 2, loss=2.0)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]


@pytest.mark.parametrize("garbage", [b"\xff\xfe", b"[1, 2]", b'{"event": "train"}', b'{"step": null}', b"", b'{"step": 1'])
def test_a_line_that_is_no_line_of_ours_is_an_error_and_stays(tmp_path, garbage):
    path = tmp_path / "metrics.jsonl"
    Report(tmp_path, 0).event("train", 1, loss=1.0)
    content = path.read_bytes() + garbage + b"\n" + path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"metrics\.jsonl:2: .*mend or delete that line") as raised:
        Report(tmp_path, 0)
    assert raised.value.code == ExitCode.STORAGE
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == content


def test_a_record_cut_short_anywhere_is_dropped(tmp_path):
    Report(tmp_path, 0).scalars("train", 1, {"loss": 1.0})
    [path] = event_files(tmp_path)
    whole = path.read_bytes()
    record = tf.io.TFRecordWriter(str(tmp_path / "record"))
    record.write(b"\x11" + bytes(8) + b"\x10\x02")  # an Event of step 2
    record.close()
    for cut in range(len((tmp_path / "record").read_bytes())):
        path.write_bytes(whole + (tmp_path / "record").read_bytes()[:cut])
        events.drop_after(path.parent, 5)
        assert path.read_bytes() == whole
    path.write_bytes(whole + (tmp_path / "record").read_bytes())
    events.drop_after(path.parent, 5)
    assert path.read_bytes() != whole


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
    report = Report(tmp_path, 0)
    report.event("train", 1, loss=1.0)
    before = lines(tmp_path)
    with file_size_limit((tmp_path / "metrics.jsonl").stat().st_size + 10):
        with pytest.raises(StorageError, match=r"metrics\.jsonl cannot be read or written: File too large; free some"):
            report.event("train", 2, loss=2.0)
    Report(tmp_path, 1)
    assert lines(tmp_path) == before


def test_an_event_file_that_cannot_grow_is_an_error_at_that_very_call(tmp_path):
    report = Report(tmp_path, 0)
    report.histograms(1, {"kernel": np.arange(5.0)})
    [path] = event_files(tmp_path)
    with file_size_limit(path.stat().st_size + 10):
        with pytest.raises(StorageError, match=r"tfevents\.\S* cannot be read or written: File too large; free some"):
            report.histograms(2, {"kernel": np.arange(5.0)})
    Report(tmp_path, 2)
    assert [step for step, _, _ in curves(tmp_path)["train", "kernel"]] == [1]


def test_a_full_disk_is_an_error_at_every_call_and_costs_nothing_told_before(tiny_disk):
    report = Report(tiny_disk, 0)
    tell(report, 1, 4)
    with contextlib.suppress(OSError), (tiny_disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(512))
    calls = [
        lambda: [report.event("train", 5, text="x" * 100) for _ in range(100)],
        lambda: [report.histograms(5, {"kernel": np.arange(5.0)}) for _ in range(10)],
        lambda: [report.scalars("test", 5, {"loss": 1.0}) for _ in range(100)],
        lambda: Report(tiny_disk, 3),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="No space left on device"):
            call()
    assert not list(tiny_disk.rglob("unfinished"))
    (tiny_disk / "ballast").unlink()
    Report(tiny_disk, 4)
    assert [line["step"] for line in lines(tiny_disk)] == [1, 2, 2, 2, 3, 4, 4, 4]
    assert [step for step, _, _ in curves(tiny_disk)["train", "loss"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("taken", ["metrics.jsonl/x", "tensorboard", "tensorboard/train"])
def test_a_path_that_is_something_else_is_an_error(tmp_path, taken):
    (tmp_path / taken).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / taken).touch()
    with pytest.raises(StorageError, match=f"{taken.partition('/')[0]}.* cannot be read or written"):
        Report(tmp_path, 0).scalars("train", 1, {"loss": 1.0})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_an_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied; free some space or allow access"):
        Report(tmp_path / "run", 0)


def test_a_stdout_that_is_gone_is_an_error_with_its_own_exit_code(tmp_path):
    program = (
        "import sys; from pathlib import Path; from pipeline import exits; from pipeline.report import Report\n"
        "try: Report(Path(sys.argv[1]), 0).progress('step 1')\n"
        "except exits.PipelineError as error: exits.exit_with(error)"
    )
    command = [sys.executable, "-c", program, tmp_path]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=buffered)
    assert ended.returncode == ExitCode.STORAGE
    assert ended.stderr.splitlines()[-1].startswith("storage: stdout cannot be written: No space left on device; send")


# --- in a live TensorBoard ---


class TensorBoard:
    """A TensorBoard process that watches a directory."""

    def __init__(self, directory: Path, *flags: str):
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", directory, "--host", "127.0.0.1", "--port", "0"]
        self._process = subprocess.Popen(
            [*command, "--reload_interval", "1", *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._url = next(filter(None, (re.search(r"http://127.0.0.1:\d+", line) for line in self._process.stdout)))[0]

    def get(self, plugin: str, **query: str) -> str:
        with urllib.request.urlopen(f"{self._url}/data/plugin/{plugin}?{urllib.parse.urlencode(query)}") as response:
            return response.read().decode()

    def points(self, run: str, tag: str, steps: list[int]) -> list[float]:
        """The values of a chart, once it shows just these steps."""
        deadline, shown = time.monotonic() + 20, None
        while True:
            with contextlib.suppress(urllib.error.HTTPError):  # the run or tag is not there yet
                shown = json.loads(self.get("scalars/scalars", run=run, tag=tag))
                if [step for _, step, _ in shown] == steps:
                    return [value for _, _, value in shown]
            assert time.monotonic() < deadline, f"{run} {tag} shows {shown}, not steps {steps}"
            time.sleep(0.2)

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        self._process.stdout.close()


@pytest.fixture(params=["true", "false"])
def tensorboard(request, tmp_path):
    """TensorBoard with its data server, and with its Python reader: they purge by different rules."""
    server = TensorBoard(tmp_path, f"--load_fast={request.param}")
    yield server
    server.end()


def test_a_live_tensorboard_shows_all_that_was_told_and_no_step_twice(tmp_path, tensorboard):
    run_dir = tmp_path / "run"
    tell(start(run_dir, 0), 1, 6)
    assert tensorboard.points("run/tensorboard/train", "loss", [1, 2, 3, 4, 5, 6])[2] == pytest.approx(loss(3))
    assert tensorboard.points("run/tensorboard/validation", "loss", [2, 4, 6])[0] == pytest.approx(loss(2) + 1)

    report = start(run_dir, 4)
    report.scalars("train", 5, {"loss": 50.0})
    assert tensorboard.points("run/tensorboard/train", "loss", [1, 2, 3, 4, 5])[-1] == 50.0
    report.scalars("validation", 5, {"loss": 51.0})
    assert tensorboard.points("run/tensorboard/validation", "loss", [2, 4, 5])[-1] == 51.0

    histograms = tensorboard.get("histograms/histograms", run="run/tensorboard/train", tag="parameters/conv1/kernel")
    assert [step for _, step, _ in json.loads(histograms)][:2] == [2, 4]
    [text] = [
        text
        for text in json.loads(tensorboard.get("text/text", run="run/tensorboard/train", tag="configuration"))
        if text["step"] == 4
    ]
    assert re.search(r"<td><code>towers</code></td>\s*<td><code>2</code></td>", text["text"])
    assert re.search(r'name: "x"\s*op: "Const"', tensorboard.get("graphs/graph", run="run/tensorboard/train"))


def test_markdown_table_quotes_what_markdown_would_read_as_its_own():
    table = markdown_table({"grad_shards": 4, "augment": "", "piecewise": "0:0.1|5:*2*"})
    assert table.splitlines()[2:] == ["| `grad_shards` | `4` |", "| `augment` | |", "| `piecewise` | `0:0.1|5:*2*` |"]
