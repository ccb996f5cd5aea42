"""evaluate --watch beside real trainings."""

import json
import signal
import subprocess
from contextlib import contextmanager

import commands
import pytest
from told_run import lines
from trainings import DEADLINE_S, STEPS, assert_equal_runs, training

from pipeline.errors import ExitCode
from pipeline.runs.run_directory import RunDirectory

FLAGS = (f"--steps={STEPS}", "--towers=2")


@contextmanager
def watching(run, *flags):
    """A watch of the validation split, which ends with the `with` at the latest."""
    process = commands.start("evaluate", "--watch", "--split=validation", f"--run_dir={run}", *flags)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


def scored(run) -> list[dict]:
    """What the watch told, by step."""
    return sorted(lines(run / "watch" / "validation"), key=lambda line: line["step"])


def validated(run) -> list[dict]:
    """What the training itself told of the steps that it scored, and of which checkpoints are kept."""
    return [line for line in lines(run) if line["event"] == "validation"]


def test_beside_a_training_that_is_preempted_and_goes_on(straight, tmp_path):
    """The watch is started first, lives through the preemption, and ends after the last checkpoint."""
    run = tmp_path / "run"
    with watching(run) as watch:
        with training(run, *FLAGS, "--keep_checkpoints=100") as live:
            assert live.until_step(20)
            live.send(signal.SIGTERM)
            assert live.end()[0] == ExitCode.PREEMPTED
        assert watch.poll() is None
        with training(run, *FLAGS, "--keep_checkpoints=100") as live:
            assert live.end()[0] == 0
        code, out, err = ended(watch)
    assert (code, err) == (0, "")
    steps = {line["step"] for line in scored(run)}
    assert steps >= set(range(3, STEPS + 1, 3)) and len(scored(run)) == len(steps)
    both = [line for line in validated(run) if line["step"] in steps]  # not each step that it scored was saved
    assert STEPS in {line["step"] for line in both}
    assert [line for line in both if line not in scored(run)] == []
    assert json.loads(out.splitlines()[-1])["step"] == STEPS
    assert_equal_runs(run, straight)


def test_stopped_and_started_again_it_scores_the_rest(straight_copy):
    run = straight_copy
    steps = [int(path.name.split("-")[1].split(".")[0]) for path in (run / "checkpoints").glob("*.manifest.json")]
    with watching(run, "--eval_batch=1") as watch:
        assert watch.stdout.readline().startswith(f"step {min(steps)}: validation accuracy ")
        watch.send_signal(signal.SIGINT)
        code, _, err = ended(watch)
    assert (code, err) == (
        ExitCode.PREEMPTED, "preempted: SIGINT; all scores are kept, and the same command goes on\n"
    )  # fmt: skip
    before = scored(run)
    assert 1 <= len(before) < len(steps)
    with watching(run) as watch:
        code, out, err = ended(watch)
    assert (code, err) == (0, "")
    assert [line["step"] for line in scored(run)] == sorted(steps)
    assert [line for line in scored(run) if line["step"] in {b["step"] for b in before}] == before
    assert out.count(": validation accuracy ") == len(steps) - len(before)


def test_beside_a_training_that_deletes_its_checkpoints(tmp_path):
    run = RunDirectory(tmp_path / "run")
    with (
        watching(run.path) as watch,
        training(run.path, *FLAGS, "--checkpoint_every=1", "--keep_checkpoints=1") as live,
    ):
        assert live.end()[0] == 0
        code, out, err = ended(watch)
    assert (code, err) == (0, "")
    assert scored(run.path)[-1] == validated(run.path)[-1]
    strange = [
        line for line in out.splitlines() if not line.startswith(("step ", "passed over: ckpt-", "the run ", "{"))
    ]
    assert strange == []
    assert all(line.endswith("was deleted before it was read") for line in out.splitlines() if "passed" in line)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--watch --checkpoint=best", "usage: --watch scores every checkpoint; leave out --checkpoint, or --watch"),
        ("--watch --run_dir=", "usage: --watch needs --run_dir=R, the directory that a training has or will have"),
    ],
)
def test_what_cannot_be_watched(arguments, line, tmp_path):
    assert commands.refuse(ExitCode.USAGE, "evaluate", "--run_dir=run", *arguments.split(), cwd=tmp_path) == line
