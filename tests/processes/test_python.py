"""Trainings from Python, in a notebook and a script: the command line's bits and errors, and graceful ends."""

import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import commands
import nbclient
import nbformat
import numpy as np
import pandas
import pytest
import shared
import trainings

import pipeline
from pipeline.errors import ExitCode, UsageError
from pipeline.runs.run_directory import RunDirectory

NOTEBOOK = Path(__file__).parents[2] / "docs" / "examples" / "train.ipynb"
SCRIPT = """
import pipeline

def net(image_shape, num_classes):
    from keras import Input, Model, layers

    inputs = Input(image_shape)
    return Model(inputs, layers.Dense(num_classes)(layers.Flatten()(inputs)))

while True:
    try:
        pipeline.train(source="fake:300", model=net, global_batch=24, steps=10**6, log_every=2, run_dir="run")
    except (KeyboardInterrupt, RuntimeError) as error:
        print(type(error).__name__, type(error.__cause__).__name__, error, sep="; ", flush=True)
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """The example's notebook after it was executed, its first training twice; and its run."""

    def execute(directory: Path) -> None:
        book = nbformat.read(NOTEBOOK, 4)
        at = next(index for index, cell in enumerate(book.cells) if cell.id == "run")
        book.cells.insert(at + 1, nbformat.v4.new_code_cell(book.cells[at].source, id="again"))
        client = nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": directory}})
        client.execute(env=commands.environment())
        nbformat.write(book, directory / "executed.ipynb")

    directory = shared.directory(tmp_path_factory, "notebook", execute)
    cells = {cell.id: cell for cell in nbformat.read(directory / "executed.ipynb", 4).cells}
    return cells, next(directory.glob("runs/*"))


def shown(cell) -> tuple[str, str]:
    """What a cell prints, and the text of its value."""
    printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    return printed, "".join(o.data["text/plain"] for o in cell.outputs if o.output_type == "execute_result")


def test_a_notebook_trains_on_the_bits_of_the_command_line(notebook, tmp_path):
    cells, run_dir = notebook
    sha = json.loads(shown(cells["result"])[1].replace("'", '"'))
    flags = (f"--flagfile={run_dir}/config.flags", f"--run_dir={tmp_path}/run")
    told = commands.succeed("train", *flags, cwd=run_dir / "code")  # modules are looked for there
    assert (
        json.loads(told.splitlines()[-1])["parameters_sha256"]
        == sha
        == pipeline.load(run_dir).result["parameters_sha256"]
    )


def test_a_notebook_shows_the_progress_and_the_run(notebook):
    cells, run_dir = notebook
    printed, value = shown(cells["run"])
    lines = printed.splitlines()
    assert lines[0].startswith("net_") and lines[0].endswith(f"in runs/{run_dir.name}")
    assert [line.split(":")[0] for line in lines[1:4]] == ["step 30", "step 60", "finished at step 60"]
    assert '"event"' not in printed and not any(line.startswith("step 10") for line in lines)
    moved = [output for output in cells["run"].outputs if output.output_type == "display_data"]
    assert [output.data["text/plain"] for output in moved] == [""]  # it has gone, at the end
    assert value.startswith(f"<Run runs/{run_dir.name}: finished at step 60, test accuracy ")
    assert shown(cells["curve"])[1].split()[:4] == ["loss", "accuracy", "images_per_second", "step"]
    assert len(json.loads(shown(cells["predict"])[1].replace("'", '"'))) == 2
    assert [o.text for cell in cells.values() for o in cell.get("outputs", ()) if o.get("name") == "stderr"] == []


def test_a_cell_that_is_run_twice_returns_the_finished_run(notebook):
    cells, run_dir = notebook
    printed, value = shown(cells["again"])
    assert printed.startswith("finished already, at step 60: ") and value == shown(cells["run"])[1]
    starts = [event for event in pipeline.load(run_dir).events if event["event"] == "start"]
    assert len(starts) == 1 and len(list(run_dir.parent.iterdir())) == 1


def test_nobodys_code_runs_because_it_lies_in_a_run_directory(notebook):
    _, run_dir = notebook
    module = pipeline.load(run_dir).config.model.partition(":")[0]
    line = (
        f"model={module}:net was a function of a script or a notebook, whose source text is {run_dir}/code/{module}.py"
    )
    with pytest.raises(UsageError, match=line):
        pipeline.load(run_dir).predictor()
    assert module not in sys.modules
    assert line in commands.refuse(ExitCode.USAGE, "evaluate", f"--run_dir={run_dir}")
    path = list(sys.path)
    assert pipeline.load(run_dir, trust_code=True).predictor().step == 60
    assert sys.path == path


def test_a_run_is_read_as_its_files_have_it(finished_run, monkeypatch):
    run = pipeline.load(finished_run)
    assert (run.run_dir, run.status, run.config.global_batch) == (finished_run, "finished", 100)
    lines = [json.loads(line) for line in (finished_run / "metrics.jsonl").read_text().splitlines()]
    assert run.events == lines and run.result == lines[-1]
    assert [checkpoint.step for checkpoint in run.checkpoints] == [10, 20]
    assert run.checkpoints[-1].parameters_sha256 == run.result["parameters_sha256"]
    validation = run.history("validation")
    assert isinstance(validation, pandas.DataFrame) and list(validation.index) == [10, 20]
    assert list(validation["loss"]) == [line["loss"] for line in lines if line["event"] == "validation"]
    assert run.history("train").empty
    with pytest.raises(UsageError, match="split=tset is unknown; known: train, validation, test"):
        run.history("tset")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"needs pandas; pip install pandas, or use \.events"):
        run.history()
    with pytest.raises(UsageError, match="holds no run"):
        pipeline.load(finished_run / "checkpoints")


@pytest.mark.parametrize("result", [b'"test_accuracy": null, ', b""])
def test_a_damaged_result_does_not_hide_the_run(run_copy, result):
    path = run_copy / "metrics.jsonl"
    path.write_bytes(re.sub(rb'"test_accuracy": [0-9.]+, ', result, path.read_bytes()))
    assert repr(pipeline.load(run_copy)) == f"<Run {run_copy}: finished at step 20>"


def test_a_predictor_computes_what_the_command_does(finished_run, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    np.save(tmp_path / "images.npy", images)
    flags = (f"--run_dir={finished_run}", "--format=json", "--checkpoint=10")
    told = commands.succeed("predict", *flags, "images.npy", cwd=tmp_path)
    lines = [json.loads(line)["probabilities"] for line in told.splitlines()]
    predictor = pipeline.load(finished_run).predictor(10)
    assert predictor.step == 10 and predictor.classes == tuple(lines[0])
    for given in (images, images[..., None] / 255, tmp_path / "images.npy", [str(tmp_path / "images.npy")]):
        probabilities = predictor(given)
        assert probabilities.dtype == np.float32
        assert probabilities.tolist() == [list(line.values()) for line in lines]
    with pytest.raises(pipeline.errors.BadDataError, match=r"array has shape \[3\]; needed is"):
        predictor(np.zeros(3))


def test_an_evaluation_gives_what_the_command_does(finished_run):
    run, given = pipeline.load(finished_run), {"source": "fake:300", "metrics": "top2,f1"}
    flags = [f"--{name}={value}" for name, value in given.items()]
    told = commands.run("evaluate", f"--run_dir={finished_run}", "--checkpoint=10", *flags)
    assert run.evaluate("test", 10, **given) == json.loads(told.stdout.splitlines()[-1])
    assert run.evaluate()["loss"] == run.result["test_loss"]
    for arguments, line in (
        ({"metric": "top5"}, "metric is not an argument of evaluate; did you mean metrics? its flags are source, "),
        ({"split": "tset"}, "split=tset is unknown; known: train, validation, test"),
        ({"source": "fakes"}, "source=fakes is unknown; "),
        ({"checkpoint": 11}, "checkpoint=11 is not there; use latest, best or a step of: 10, 20"),
    ):
        with pytest.raises(UsageError) as refused:
            run.evaluate(**arguments)
        assert str(refused.value).startswith(line)


def test_an_error_of_the_training_is_an_exception_and_leaves_nothing_behind(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    def net(image_shape, num_classes):
        return None

    with pytest.raises(UsageError, match=r"^the worker address 'h1' is not HOST:PORT") as caught:
        pipeline.train(source="fake", model=net, worker_addresses="h1", run_dir="new/run")
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def child_of(live: trainings.Training) -> int:
    """The process that a script started; waits for it."""
    children = Path(f"/proc/{live.pid}/task/{live.pid}/children")
    assert live.until(lambda: bool(children.read_text()))
    return int(children.read_text())


def test_an_interrupt_a_kill_and_the_end_of_the_caller(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    run = RunDirectory(tmp_path / "run")
    environment = commands.environment()
    process = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    live = trainings.Training(process, run.path)
    try:
        assert live.until_step(4)
        process.send_signal(signal.SIGINT)
        told = next(line for line in process.stdout if line.startswith("KeyboardInterrupt"))
        step = run.history().events[-1]["step"]
        assert told.startswith(f"KeyboardInterrupt; PreemptedError; SIGINT at step {step}, and all of it is saved; ")
        assert run.history().events[-1]["event"] == "preempted"
        assert pipeline.load(run.path).checkpoints[-1].step == step

        os.kill(child_of(live), signal.SIGKILL)
        told = next(line for line in process.stdout if line.startswith("RuntimeError"))
        assert told == "RuntimeError; NoneType; the training was ended by SIGKILL\n"

        assert live.until_step(step + 4)
        child = child_of(live)
        process.kill()
        ends = [event for event in events_at_the_end_of(child, run) if event["event"] == "preempted"]
        assert [event["signal"] for event in ends] == ["SIGINT", "SIGTERM"]
    finally:
        live.kill()


def events_at_the_end_of(pid: int, run: RunDirectory) -> list[dict]:
    """The lines of a run, once the process has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        ended = bool(select.select([descriptor], [], [], trainings.DEADLINE_S)[0])
        if not ended:
            os.kill(pid, signal.SIGKILL)
        assert ended
    finally:
        os.close(descriptor)
    return run.history().events
