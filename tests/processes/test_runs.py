"""What a run directory goes through in its life: finished, prolonged, resharded, shared, pruned."""

import json
import shutil
import signal

import commands
import pytest
from trainings import FLAGS, STEPS, assert_equal_runs, told, train, training

from pipeline.errors import ExitCode
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory

HALF = STEPS // 2


@pytest.fixture(scope="module")
def half_run(tmp_path_factory):
    """A run finished at half the steps. Not to be changed."""
    path = tmp_path_factory.mktemp("half") / "run"
    train(path, "--towers=2", f"--steps={HALF}")
    return path


def test_a_finished_run_says_so_and_is_not_touched(half_run):
    def state():
        paths = sorted(path for path in half_run.rglob("*") if path.name != "lock")
        return [(path, path.stat().st_mtime_ns, path.stat().st_ino) for path in paths]

    before = state()
    out = commands.succeed("train", *FLAGS, f"--run_dir={half_run}", f"--steps={HALF}", "--towers=4")
    assert state() == before
    assert out.startswith(f"finished already, at step {HALF}")
    assert json.loads(out.splitlines()[-1]) == RunDirectory(half_run).history().result


def test_a_finished_run_goes_on_with_more_steps_and_equals_one_of_that_length(half_run, straight, tmp_path):
    run = RunDirectory(shutil.copytree(half_run, tmp_path / "run"))
    train(run.path, "--towers=4", f"--steps={STEPS}")
    results = [event for event in run.history().events if event["event"] == "result"]
    assert [result["step"] for result in results] == [HALF, STEPS]
    assert results[1]["parameters_sha256"] == RunDirectory(straight).history().result["parameters_sha256"]
    assert [line for line in told(run.path) if line["event"] != "test"] == told(straight)[:-1]
    assert [line["step"] for line in told(run.path) if line["event"] == "test"] == [HALF, STEPS]


def test_a_reshard_is_recorded_where_the_bits_part_and_kept(half_run, straight, tmp_path):
    run = RunDirectory(shutil.copytree(half_run, tmp_path / "run"))
    with training(run.path, "--towers=1", "--reshard", "--grad_shards=2", f"--steps={HALF + 10}") as live:
        assert live.until(lambda: run.recorded().grad_shards == 2)
        live.send(signal.SIGKILL)  # perhaps before it could tell
    train(run.path, "--towers=1", f"--steps={HALF + 10}", "--grad_shards=0")
    train(run.path, "--towers=2", "--grad_shards=0", f"--steps={HALF + 20}")
    recorded = [event for event in run.history().events if event["event"] == "reshard"]
    assert [(event["step"], event["before"], event["grad_shards"]) for event in recorded] == [(HALF, 4, 2)]
    assert {event["grad_shards"] for event in run.history().events if event["event"] == "start"} == {4, 2}
    assert run.recorded().grad_shards == 2
    ours, straights = ([line for line in told(path) if line["event"] == "train"] for path in (run.path, straight))
    assert ours[: HALF // 2] == straights[: HALF // 2]
    assert ours[-1] != straights[len(ours) - 1]


def test_a_second_trainer_is_refused_and_the_first_does_not_notice(straight, tmp_path):
    run = tmp_path / "run"
    with training(run, "--towers=2", f"--steps={STEPS}") as first:
        assert first.until_step(4)
        first.send(signal.SIGSTOP)  # so that it lives for as long as the second one tries
        line = commands.refuse(ExitCode.STORAGE, "train", *FLAGS, f"--run_dir={run}", f"--steps={STEPS}")
        assert "belongs to a live run" in line
        first.send(signal.SIGCONT)
        assert first.end()[0] == ExitCode.DONE
    assert_equal_runs(run, straight)


def test_the_best_checkpoint_outlives_newer_ones_and_scores_as_it_was_logged(tmp_path):
    """The rate rises from step 30 on so far that what was learned is lost."""
    run = RunDirectory(tmp_path / "run")
    learns, forgets = "--learning_rate=0.3", "--piecewise=30:1000"
    schedule = ("--optimizer=sgd", "--schedule=piecewise", learns, forgets)
    data = ("--source=digits:1200", f"--data_dir={tmp_path}", "--model=softmax", "--global_batch=40")
    often = ("--steps=80", "--eval_every=10", "--checkpoint_every=10", "--keep_checkpoints=2", "--eval_batch=30")
    train(run.path, *schedule, *data, *often, "--summary_every=0", "--towers=2")
    accuracy = run.history().validation("accuracy")
    checkpoints = Checkpoints(run.checkpoints)
    best = run.history().best_step(list(accuracy), "accuracy")
    assert accuracy[best] > max(accuracy[70], accuracy[80])
    assert checkpoints.steps() == [best, 70, 80]
    out = commands.succeed(
        "evaluate", f"--run_dir={run.path}", "--checkpoint=best", "--split=validation", "--eval_batch=30", "--towers=4"
    )
    scores = json.loads(out.splitlines()[-1])
    [logged] = [line for line in told(run.path) if (line["event"], line["step"]) == ("validation", best)]
    # The record holds one number of each metric.
    scores |= {name: values.get("value", values.get("macro")) for name, values in scores["metrics"].items()}
    assert {name: scores[name] for name in logged} == logged
    told_hashes = dict(line.split() for line in commands.succeed("inspect", f"--run_dir={run.path}").splitlines()[-2:])
    assert told_hashes["parameters_sha256"] == run.history().result["parameters_sha256"]
    assert told_hashes["state_sha256"] == checkpoints.verify(80).state_sha256
