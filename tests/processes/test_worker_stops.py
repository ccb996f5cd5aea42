"""A stop asked of one worker stops all at one step, whatever they are at, and the job goes on exactly."""

import signal

import commands
import jobs
import pytest
from trainings import STEPS, Training, assert_equal_runs, told, train

from pipeline.errors import ExitCode
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory
from pipeline.workers import ports

ALL_STEPS = f"--steps={STEPS}"
ENDLESS = ("--steps=1000000", "--eval_every=0", "--summary_every=0")


def in_training(live: jobs.Job, run: RunDirectory) -> bool:
    return live.until_step(14)


def in_saving(live: jobs.Job, run: RunDirectory) -> bool:
    return live.until_step(8) and live[0].until(live[0].saving)


def when_compiling(live: jobs.Job, run: RunDirectory) -> bool:
    return live[0].until((run.logs / "worker-0.log").exists)


def by_signal(number: signal.Signals):
    def ask(worker: Training, run: RunDirectory) -> None:
        worker.send(number)

    return ask


@pytest.mark.parametrize(
    ("moment", "asked", "ask"),
    [
        (when_compiling, 1, by_signal(signal.SIGUSR1)),
        (in_saving, 0, by_signal(signal.SIGTERM)),
    ],
)
def test_all_stop_at_one_step_and_go_on_from_there(straight, tmp_path, moment, asked, ask):
    run = RunDirectory(tmp_path / "run")
    with jobs.job(run.path, ALL_STEPS) as live:
        assert moment(live, run)
        ask(live[asked], run)
        lines = live.all_end_with(ExitCode.PREEMPTED)
    assert_stopped_at_one_step_and_goes_on(run, lines, straight)


def assert_stopped_at_one_step_and_goes_on(run: RunDirectory, lines: list[str], straight) -> None:
    """lines: what each worker said at its end."""
    [preempted] = [event for event in run.history().events if event["event"] == "preempted"]
    step = preempted["step"]
    assert all(f" at step {step}, and all of it is saved;" in line for line in lines), lines
    assert 0 < step < STEPS and Checkpoints(run.checkpoints).verify(step)
    train(run.path, ALL_STEPS, "--towers=2")
    assert_equal_runs(run.path, straight)


def test_a_file_stops_all_without_an_evaluation_in_which_they_would_meet(tmp_path):
    """It is looked for once a second, in which a short run would end. The stop rides on the gradients."""
    run = RunDirectory(tmp_path / "run")
    with jobs.job(run.path, *ENDLESS) as live:
        assert in_training(live, run)
        run.stop_file.touch()
        lines = live.all_end_with(ExitCode.PREEMPTED)
    assert all("all of it is saved" in line for line in lines), lines
    assert not run.stop_file.exists()


def test_a_stop_in_the_start_up_stops_all_before_or_after_they_have_met(tmp_path):
    with jobs.job(tmp_path / "run", ALL_STEPS) as live:
        assert live[0].until_owned()
        live[1].send(signal.SIGTERM)
        lines = live.all_end_with(ExitCode.PREEMPTED)
    assert all("all of it is saved" in line or "nothing was to save" in line for line in lines), lines


def test_a_stop_in_an_evaluation_ends_it_on_all_and_it_is_made_up_for(tmp_path):
    """Validation of 3,000 examples one by one takes seconds, so the signal falls into it."""
    run = RunDirectory(tmp_path / "run")
    flags = ("--source=fake:36000", "--steps=30", "--eval_batch=500")
    with jobs.job(run.path, *flags, "--eval_batch=1") as live:
        assert live.until_step(20)
        live[1].send(signal.SIGTERM)
        live.all_end_with(ExitCode.PREEMPTED)
    assert [event["step"] for event in run.history().events if event["event"] == "preempted"] == [20]
    assert not run.history().has("validation", 20) and Checkpoints(run.checkpoints).verify(20)
    train(run.path, *flags)
    assert [line["step"] for line in told(run.path) if line["event"] == "validation"] == [20]


def test_a_stop_while_others_are_waited_for_ends_those_who_are_there(tmp_path):
    with jobs.job(tmp_path / "run", ALL_STEPS, workers=4, absent=[2, 3]) as live:
        assert live[0].until_owned()
        assert live[1].until(lambda: ports.taken(int(live.addresses[1].rpartition(":")[2])))
        live[1].send(signal.SIGTERM)
        lines = live.all_end_with(ExitCode.PREEMPTED)
    assert all("stopped while not all workers had come: nothing was to save" in line for line in lines), lines


def test_a_storm_of_signals_on_all_does_no_harm(straight, tmp_path):
    run = RunDirectory(tmp_path / "run")
    with jobs.job(run.path, ALL_STEPS) as live:
        assert live.until_step(6)
        while not live[0].over() or not live[1].over():
            for worker in live.workers.values():
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
                    worker.send(number)
        lines = live.all_end_with(ExitCode.PREEMPTED)
    assert_stopped_at_one_step_and_goes_on(run, lines, straight)


def test_a_stop_that_takes_too_long_ends_all(tmp_path):
    """One worker is stuck and cannot come to the step at which all would stop."""
    stuck = tmp_path / "stuck"
    environment = commands.environment(STUCK=str(stuck))
    model = ("--model=models_for_tests:waits", "--soft_device_placement", "--preemption_deadline=4")
    with jobs.job(tmp_path / "run", "--steps=1000000", *model, options={1: {"env": environment}}) as live:
        assert live.until_step(14)
        stuck.touch()
        assert live[1].until(stuck.with_suffix(".felt").is_file)
        live[0].send(signal.SIGTERM)
        lines = live.all_end_with(ExitCode.PREEMPTED)
    assert all("the stop took longer than --preemption_deadline=4 s" in line for line in lines), lines
