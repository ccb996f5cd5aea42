"""Where a run says its time went."""

import json
import os
import shutil

import commands
import pytest


@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is needed to give a run one core")
def test_training_on_one_core_is_not_counted_as_waiting_for_input(tmp_path):
    core = min(os.sched_getaffinity(0))
    flags = ["--source=fake:600", "--steps=30", "--global_batch=50", "--intra_op_threads=1", "--eval_every=0"]
    said = commands.succeed("train", *flags, f"--run_dir={tmp_path}", "--quiet", prefix=("taskset", "-c", str(core)))
    seconds = json.loads(said.splitlines()[-1])["seconds"]
    assert seconds["input"] < 0.3 * seconds["compute"]
