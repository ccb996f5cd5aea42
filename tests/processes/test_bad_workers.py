"""Workers that are named wrongly: one line and code 64, before TensorFlow is imported."""

import json

import commands
import pytest

from pipeline.errors import ExitCode

ADDRESSES = "--worker_addresses=127.0.0.1:9000,127.0.0.1:9001"


@pytest.mark.parametrize("entry_point", ["train", "supervise", "preflight"])
@pytest.mark.parametrize(
    "flags, tf_config, told",
    [
        ([], "{", "TF_CONFIG={ does not name the workers; it should be like"),
        ([], json.dumps({"cluster": {"worker": ["a:1", "b:1"], "ps": ["c:1"]}}), "TF_CONFIG has the role 'ps'"),
        ([ADDRESSES, "--worker_index=2"], "", "worker_index=2 is out of range of 2 worker(s)"),
        ([ADDRESSES], "", "names 2 workers, and nothing says which of them this one is"),
        (["--worker_addresses=h1:9000,h1:9000", "--worker_index=0"], "", "h1:9000 is given twice"),
        (["--worker_addresses=n[1-:9000", "--worker_index=0"], "", "the host list 'n[1-:9000' does not parse"),
    ],
)
def test_it_is_refused_at_once(entry_point, flags, tf_config, told):
    environment = commands.environment(TF_CONFIG=tf_config)
    line = commands.refuse(ExitCode.USAGE, entry_point, *flags, env=environment, timeout=20)
    assert line.startswith("usage: ") and told in line


@pytest.mark.parametrize(
    "flags, told",
    [
        (["--workers=2", ADDRESSES], "workers=2 and --worker_addresses exclude each other; give one of the two"),
        (["--workers=-1"], "workers=-1 is too small; the least is 0"),
        ([ADDRESSES, "--worker_indices=0,0"], "worker_indices=0,0 is not a list of different numbers; write it as 0,1"),
        ([ADDRESSES, "--worker_indices=a"], "worker_indices=a is not a list of different numbers; write it as 0,1"),
        ([ADDRESSES, "--worker_indices=0,2"], "worker_index=2 is out of range of 2 worker(s)"),
        (["--max_restarts=x"], "max_restarts=x is not a whole number"),
        (["--pulse_timeout=0"], "pulse_timeout=0.0 is too small; the least is 1"),
    ],
)
def test_wrong_flags_of_the_supervisor(flags, told):
    assert told in commands.refuse(ExitCode.USAGE, "supervise", *flags)
