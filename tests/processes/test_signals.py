"""Signals: save, end with 75, and go on exactly; whenever they come, and however many."""

import signal

import pytest
from trainings import STEPS, assert_equal_runs, told, train, training

from pipeline.errors import ExitCode
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory


def events(run: RunDirectory, name: str) -> list[dict]:
    return [event for event in run.history().events if event["event"] == name]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_a_storm_of_more_does_no_harm(straight, tmp_path, number):
    run = RunDirectory(tmp_path)
    with training(run.path, "--towers=2", f"--steps={STEPS}") as live:
        assert live.until_step(10)
        live.send(number)
        code, _, err = live.storm()
    [preempted] = events(run, "preempted")
    step = preempted["step"]
    assert code == ExitCode.PREEMPTED
    assert err == f"preempted: {preempted['signal']} at step {step}, and all of it is saved; " + (
        "the same command goes on from there\n"
    )
    assert 10 <= step < STEPS and max(line["step"] for line in told(run.path)) <= step
    assert Checkpoints(run.checkpoints).verify(step).step == Checkpoints(run.checkpoints).steps()[-1]
    train(run.path, "--towers=1", f"--steps={STEPS}")
    assert [event["step"] for event in events(run, "resume")] == [step]
    assert_equal_runs(run.path, straight)


def test_a_signal_before_the_first_step_leaves_nothing_to_save(straight, tmp_path):
    run = RunDirectory(tmp_path)
    with training(run.path, "--towers=2", f"--steps={STEPS}") as live:
        assert live.until_listening()
        live.send(signal.SIGTERM)
        code, _, err = live.end()
    assert (code, err.partition(",")[0]) == (ExitCode.PREEMPTED, "preempted: SIGTERM at step 0")
    assert Checkpoints(run.checkpoints).steps() == [] and told(run.path) == []
    train(run.path, "--towers=4", f"--steps={STEPS}")
    assert_equal_runs(run.path, straight)


def test_a_signal_in_an_evaluation_ends_it_and_it_is_made_up_for(tmp_path):
    """Validation of 3,000 examples one by one takes seconds, so the signal falls into it."""
    run, straight = RunDirectory(tmp_path / "run"), tmp_path / "straight"
    flags = ("--source=fake:36000", "--steps=30", "--eval_batch=500")
    with training(run.path, *flags, "--eval_batch=1") as live:
        assert live.until_step(20)
        live.send(signal.SIGTERM)
        assert live.end()[0] == ExitCode.PREEMPTED
    assert [event["step"] for event in events(run, "preempted")] == [20]
    assert events(run, "validation") == []
    assert Checkpoints(run.checkpoints).verify(20)
    train(run.path, *flags, "--towers=2")
    train(straight, *flags)
    assert [event["step"] for event in events(run, "validation")] == [20]
    assert_equal_runs(run.path, straight)
