"""A run whose shards lie in object storage: the store fails in the middle, and nothing is lost."""

import json

import commands
import object_server
import pytest
from object_server import BUCKET, until
from picture_folders import encoded, photo
from shard_files import imagenet_records, write_records

from pipeline.errors import ExitCode
from pipeline.runs import manifests
from pipeline.runs.run_directory import RunDirectory

FLAGS = ("--model=dense", "--global_batch=8", "--validation_fraction=0.2", "--intra_op_threads=2", "--decay_steps=10",
         "--checkpoint_every=0", "--eval_every=0", "--log_every=1", "--quiet")  # fmt: skip


@pytest.fixture
def server(tmp_path):
    for i in range(40):
        path = tmp_path / "D" / ("ant", "bee")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(photo(12, seed=i), "PNG"))
    write_records(tmp_path / "train.tfrecord", imagenet_records(tmp_path / "D"))
    with object_server.serving() as server:
        server.client.upload_file(str(tmp_path / "train.tfrecord"), BUCKET, "data/train.tfrecord")
        yield server


def test_a_store_that_fails_ends_the_run_saved_and_it_goes_on_to_the_bits_of_a_local_run(server, tmp_path):
    run = RunDirectory(tmp_path / "run")
    flags = (*FLAGS, f"--source=tfrecord:s3://{BUCKET}/data/*.tfrecord", f"--data_dir={tmp_path / 'kept'}",
             f"--run_dir={run.path}")  # fmt: skip
    each_time = ("--data_cache_mib=0", "--decoded_cache_mib=0", "--stall_timeout=8")
    with commands.start("train", *flags, *each_time, "--steps=1000000", env=server.environment()) as process:
        until(lambda: any(e["event"] == "train" and e["step"] > 5 for e in run.history().events))
        server.fault = object_server.FAILING
        _, err = process.communicate(timeout=100)
    assert process.returncode == ExitCode.STORAGE, err
    assert err.count("\n") == 1 and f"s3://{BUCKET}/data/train.tfrecord cannot be read for 4 s (" in err
    step = manifests.newest_step(run.checkpoints)
    assert step > 5 and step == [event["step"] for event in run.history().events if event["event"] == "train"][-1]
    server.fault = None
    steps = f"--steps={step + 3}"
    result = json.loads(commands.succeed("train", *flags, steps, env=server.environment()))
    local = (*FLAGS, f"--source=tfrecord:{tmp_path}/*.tfrecord", f"--run_dir={tmp_path / 'local'}", steps)
    assert result["parameters_sha256"] == json.loads(commands.succeed("train", *local))["parameters_sha256"]
