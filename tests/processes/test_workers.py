"""Several workers compute what one computes: to the bit, also where others go on, and without a shared file system."""

import json
import shutil
import signal

import commands
import jobs
import numpy as np
import pytest
from trainings import FLAGS, HISTOGRAMS, STEPS, assert_equal_runs, train

from pipeline.errors import ExitCode
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory

ALL_STEPS = f"--steps={STEPS}"
RARELY = ("--eval_every=0", "--summary_every=0", "--checkpoint_every=0")


def test_four_workers_are_two_towers_of_one(straight_with_histograms, tmp_path):
    jobs.train(tmp_path / "run", ALL_STEPS, HISTOGRAMS, workers=4)
    assert_equal_runs(tmp_path / "run", straight_with_histograms)


def test_three_workers_add_as_one_does_whenever_they_save(tmp_path):
    """Three are no power of two: the sums of the tree have unequal numbers of workers. The chief's clock says: save."""
    flags = ("--grad_shards=6", "--steps=8", "--eval_every=0")
    one = train(tmp_path / "one", "--towers=3", *flags)
    own = {0: ["--checkpoint_minutes=1e-6"]}
    three = jobs.train(tmp_path / "three", "--towers=1", *flags, workers=3, own=own)
    assert one["parameters_sha256"] == three["parameters_sha256"]
    saved = {run: saves(tmp_path / run) for run in ("one", "three")}
    assert saved["one"] == [3, 6, 8] and saved["three"][-6:] == [3, 4, 5, 6, 7, 8]


def test_real_digits_and_the_real_model_end_on_the_same_bits(mnist_directory, tmp_path):
    """Its gradient is larger than a packet."""
    flags = (f"--source=idx:{mnist_directory}", "--model=convolutional", "--steps=4", "--global_batch=64")
    flags += ("--eval_batch=500", *RARELY)
    results = [
        train(tmp_path / "one", "--towers=2", *flags),
        jobs.train(tmp_path / "two", "--towers=1", *flags),
    ]
    assert len({result["parameters_sha256"] for result in results}) == 1
    assert len({(result["test_loss"], result["test_accuracy"]) for result in results}) == 1


def test_only_the_chief_tells_of_the_run_and_all_lie_in_its_directory(straight, tmp_path):
    """Of two workers with two towers each."""
    own = {index: [f"--run_dir={tmp_path / str(index)}"] for index in range(2)}
    jobs.train(tmp_path / "0", "--towers=2", ALL_STEPS, own=own)
    assert_equal_runs(tmp_path / "0", straight)
    assert [path.name for path in (tmp_path / "1").rglob("*")] == ["logs", "worker-1.log"]
    told = (tmp_path / "1" / "logs" / "worker-1.log").read_text()
    assert told.count("step 20: validation accuracy") == 1 and '"event": "result"' in told


def saves(run_dir) -> list[int]:
    """The steps of all checkpoints that a run has saved."""
    return [event["step"] for event in RunDirectory(run_dir).history().events if event["event"] == "checkpoint"]


# --- how gradients travel ---


def gradients(*flags, workers: int) -> list[dict]:
    """What every worker has as the gradient of one step."""
    place = [f"--worker_addresses={','.join(jobs.local_addresses(workers))}"] if workers > 1 else []
    given = (*FLAGS, "--decay_steps=9", "--run_dir=nowhere", *place, *flags)
    started = [
        commands.start_module("gradient", *given, *([f"--worker_index={index}"] if workers > 1 else []))
        for index in range(workers)
    ]
    return [json.loads(process.communicate(timeout=300)[0].splitlines()[-1]) for process in started]


@pytest.fixture(scope="module")
def gradient_of_one():
    [gradient] = gradients("--towers=1", workers=1)
    return gradient


def test_the_exact_sum_over_workers_is_the_sum_of_one(gradient_of_one):
    found = gradients(workers=2)
    assert [each["at_once"] for each in found] == [2, 2]  # or no sum would begin before the passes have ended
    for each in found:
        assert (each["sha256"], each["start"]) == (gradient_of_one["sha256"], gradient_of_one["start"])


@pytest.mark.parametrize(
    ("flag", "workers", "tolerance"), [("--all_reduce=fast", 4, 1e-6), ("--wire=bfloat16", 2, 2**-7)]
)
def test_another_way_to_travel_gives_other_bits_and_nearly_the_same_numbers(gradient_of_one, flag, workers, tolerance):
    all_have = gradients(flag, workers=workers)
    assert len({each["sha256"] for each in all_have}) == 1
    assert all_have[0]["sha256"] != gradient_of_one["sha256"]
    for found, exact in zip(all_have[0]["start"], gradient_of_one["start"], strict=True):
        np.testing.assert_allclose(found, exact, rtol=0, atol=tolerance * np.abs(exact).max())


@pytest.mark.parametrize(("flag", "workers"), [("--all_reduce=fast", 3), ("--wire=bfloat16", 2)])
def test_another_way_to_travel_is_as_repeatable(tmp_path, flag, workers):
    flags = (flag, f"--grad_shards={workers}", "--model=hidden", "--steps=20", *RARELY)
    results = [jobs.train(tmp_path / str(k), *flags, workers=workers)["parameters_sha256"] for k in range(2)]
    assert results[0] == results[1]


# --- the network ---


BRIEF = ("--steps=8", *RARELY)


@pytest.fixture(scope="module")
def brief_sha256(tmp_path_factory):
    """Of the parameters on which a brief run ends."""
    return train(tmp_path_factory.mktemp("brief") / "run", "--towers=2", *BRIEF)["parameters_sha256"]


def test_two_workers_meet_and_train_over_ipv6(brief_sha256, tmp_path):
    assert jobs.train(tmp_path / "run", *BRIEF, host="[::1]")["parameters_sha256"] == brief_sha256


def test_a_proxy_for_the_web_stands_in_no_workers_way(brief_sha256, tmp_path):
    nobody = "http://127.0.0.1:9"
    proxies = {"http_proxy": nobody, "https_proxy": nobody, "grpc_proxy": nobody, "no_proxy": "", "no_grpc_proxy": ""}
    options = {index: {"env": commands.environment(**proxies)} for index in range(2)}
    assert jobs.train(tmp_path / "run", *BRIEF, options=options)["parameters_sha256"] == brief_sha256


# --- elastic ---


def stopped_at(run: RunDirectory) -> int:
    return [event for event in run.history().events if event["event"] == "preempted"][-1]["step"]


def test_a_job_goes_on_with_other_numbers_of_workers(straight, tmp_path):
    run = RunDirectory(tmp_path / "run")
    for step, (workers, towers) in {6: (2, 2), 18: (1, 2)}.items():
        with jobs.job(run.path, ALL_STEPS, f"--towers={towers}", workers=workers) as live:
            assert live.until_step(step)
            live[workers - 1].send(signal.SIGTERM)
            live.all_end_with(ExitCode.PREEMPTED)
        assert step <= stopped_at(run) < STEPS
    jobs.train(run.path, ALL_STEPS, workers=4)
    assert_equal_runs(run.path, straight)


def test_workers_that_do_not_divide_the_shards_are_told_who_does(tmp_path):
    with jobs.job(tmp_path / "run", ALL_STEPS, workers=3) as live:
        lines = live.all_end_with(ExitCode.USAGE)
    assert lines[0].startswith(
        "usage: 4 shards do not split over 3 towers (3 workers with 1 each); use 1, 2, 4 workers"
    )
    assert all("4 shards do not split over 3 towers" in line for line in lines)


def test_the_chiefs_state_is_sent_to_workers_that_share_no_files(straight, tmp_path):
    own = {1: [f"--run_dir={tmp_path / 'other'}"]}
    run = RunDirectory(tmp_path / "run")
    with jobs.job(run.path, ALL_STEPS, own=own) as live:
        assert live.until_step(22)  # an evaluation lies behind it, of which the chief alone has a record
        live[1].send(signal.SIGTERM)
        live.all_end_with(ExitCode.PREEMPTED)
    *_, older, newest = Checkpoints(run.checkpoints).steps()
    (run.checkpoints / f"ckpt-{newest}.index").write_bytes(b"damaged, so that it is passed over")
    shutil.rmtree(tmp_path / "other")
    jobs.train(run.path, ALL_STEPS, own=own)
    assert [event["step"] for event in run.history().events if event["event"] == "resume"] == [older]
    assert_equal_runs(run.path, straight)


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_started_once_more_after_the_result_waits_for_nobody(straight, index):
    with jobs.job(straight, "--towers=2", ALL_STEPS, absent=[1 - index]) as live:
        [(code, _, err)] = live.ends()
    assert (code, err) == (0, "")
