"""kill -9 at any moment: the same command goes on, and nobody could tell afterwards."""

import random
import signal
import time

from trainings import HISTOGRAMS, STEPS, assert_equal_runs, told, train, training

from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory

NUM_KILLS = 3
TOWERS = (4, 1, 2)
FLAGS = (f"--steps={STEPS}", HISTOGRAMS)


def some_moment(live, draws: random.Random, reached: int) -> bool:
    """Waits for a moment drawn at random of a run that goes on from step `reached`; whether it came before the end."""
    kind, step = draws.choice(["start-up", "step", "saving"]), draws.randint(reached, max(reached, STEPS - 10))
    if kind == "start-up":
        came = live.until_owned()
    else:
        came = live.until(lambda: live.logged(step) or (kind == "saving" and live.saving()))
    time.sleep(draws.uniform(0, 0.03))  # so that it is no certain moment after what was waited for
    return came


def test_a_run_killed_at_random_moments_ends_as_one_never_killed(straight_with_histograms, tmp_path):
    run, draws = RunDirectory(tmp_path / "run"), random.Random(1)
    for number in range(NUM_KILLS):
        reached = max(Checkpoints(run.checkpoints).steps(), default=0)
        with training(run.path, f"--towers={TOWERS[number % 3]}", *FLAGS) as live:
            assert some_moment(live, draws, reached)
            live.send(signal.SIGKILL)
            assert live.end()[0] in (-signal.SIGKILL, 0)  # 0 where the kill came after the end
    train(run.path, f"--towers={TOWERS[NUM_KILLS % 3]}", *FLAGS)
    assert_equal_runs(run.path, straight_with_histograms)


def test_a_run_killed_before_its_result_finishes_without_telling_anything_twice(straight_copy, straight):
    run = RunDirectory(straight_copy)
    result = run.history().result
    *lines, last = run.metrics.read_text().splitlines(keepends=True)
    assert '"result"' in last and '"test"' in lines[-1]
    run.metrics.write_text("".join(lines))
    again = train(run.path, "--towers=4", f"--steps={STEPS}")
    assert again["parameters_sha256"] == result["parameters_sha256"]
    assert_equal_runs(run.path, straight)


def test_every_checkpoint_says_what_it_holds_and_the_result_says_the_same(straight):
    run = RunDirectory(straight)
    checkpoints = Checkpoints(run.checkpoints)
    assert checkpoints.steps()[-3:] == [STEPS - 6, STEPS - 3, STEPS]
    manifests = [checkpoints.verify(step) for step in checkpoints.steps()]
    assert manifests[-1].parameters_sha256 == run.history().result["parameters_sha256"]
    assert len({manifest.parameters_sha256 for manifest in manifests}) == len(manifests)
    assert [line["step"] for line in told(straight) if line["event"] == "train"] == list(range(2, STEPS + 1, 2))
