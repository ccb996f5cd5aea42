"""A worker that is stopped again and again is named while the job runs, and at its end."""

import re
import signal
import threading
import time

import jobs
from trainings import Training

from pipeline.runs.run_directory import RunDirectory

STOPPED_S, FREE_S = 0.2, 0.05  # several times in the steps between two logs, so that no log has a worker that was free
FLAGS = (
    "--model=convolutional",
    "--steps=72",
    "--log_every=12",
    "--eval_every=0",
    "--checkpoint_every=0",
    "--summary_every=0",
)


def throttle(worker: Training) -> None:
    while not worker.over():
        worker.send(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        worker.send(signal.SIGCONT)
        time.sleep(FREE_S)


def test_a_throttled_worker_is_warned_of_and_named_at_the_end(tmp_path):
    with jobs.job(tmp_path, *FLAGS, workers=2) as job:
        assert job.until_step(3)
        throttling = threading.Thread(target=throttle, args=(job[1],))
        throttling.start()
        ends = job.ends()
        throttling.join()
    assert [(code, err) for code, _, err in ends] == [(0, "")] * 2
    told, name = ends[0][1], f"worker 1 ({job.addresses[1]})"
    assert f"{name} is slow: a step takes it " in told and told.count("is slow") == 1
    assert re.search(rf"^  slowest worker +{re.escape(name)}, ", told, re.MULTILINE)
    assert re.search(r"^  slowest tower +cpu:0 of worker 1, ", told, re.MULTILINE)
    *looks, whole = [event for event in RunDirectory(tmp_path).history().events if event["event"] == "pace"]
    assert whole["whole"] and whole["slowest"] == 1 and whole["lost"] > 0
    assert sum(look["slowest"] for look in looks) > len(looks) / 2
    assert all(len(whole[name]) == 2 for name in ("compute", "input", "wait", "by_tower"))
    assert whole["wait"][0] > whole["wait"][1]
