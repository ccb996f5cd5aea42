"""What the supervisor says and does about a network of its own for the workers of this machine."""

import subprocess

import commands
import pytest

from pipeline import supervise
from pipeline.config import Config
from pipeline.errors import ExitCode

# A user namespace in which no network namespace may be made, as on machines that forbid them.
FORBIDDEN = ("unshare", "--user", "--map-root-user", "sh", "-c")
FORBID = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"'
READY = "worker 0 | preflight: 2 worker(s), ready to train\n"


def preflight(run_dir, *flags: str, prefix=()) -> subprocess.CompletedProcess:
    return commands.run("supervise", "--preflight", "--workers=2", f"--run_dir={run_dir}", *flags, prefix=prefix)


@pytest.fixture
def forbidding():
    """The words before a command by which it runs where private networks are forbidden."""
    if subprocess.run([*FORBIDDEN, FORBID, "sh", "true"], capture_output=True).returncode:
        pytest.skip("user namespaces are not allowed here")
    return [*FORBIDDEN, FORBID, "sh"]


def test_where_it_is_forbidden_auto_warns_and_goes_on_and_required_refuses(tmp_path, forbidding):
    warned = preflight(tmp_path, prefix=forbidding)
    assert warned.returncode == 0 and READY in warned.stdout
    assert "supervisor: no private network (the limit of namespaces is reached): whoever reaches" in warned.stderr
    refused = preflight(tmp_path, "--private_network=required", prefix=forbidding)
    assert refused.returncode == ExitCode.USAGE and refused.stdout == ""
    reason = "this machine does not allow one (the limit of namespaces is reached); use auto or never"
    assert refused.stderr == f"usage: private_network=required, but {reason}\n"


@pytest.mark.parametrize(
    "flags, why",
    [
        (["--source=mnist"], "source=mnist may be downloaded"),
        (["--model=models_for_tests:dropout"], "model=models_for_tests:dropout is code of your own"),
    ],
)
def test_what_may_need_a_download_has_none_unless_it_is_required(tmp_path, flags, why):
    ended = preflight(tmp_path, *flags)
    assert ended.returncode == 0 and READY in ended.stdout
    assert f"supervisor: no private network ({why}): whoever reaches the workers' ports" in ended.stderr


@pytest.mark.parametrize(
    "fields, why",
    [
        ({"notify": "https://h.example/secret"}, "notify=https://h.example/… is on another host"),
        ({"track": "wandb,mlflow"}, "track=mlflow has a server, perhaps on another host"),
        ({"metrics_port": 9400}, "metrics_port=9400 is read from outside"),
        ({"notify": "mail me", "track": "wandb", "mirror": "/mnt"}, ""),
    ],
)
def test_what_speaks_to_others_has_none(fields, why):
    assert supervise._needs_network(Config(source="digits", **fields)) == why


def test_never_says_nothing_and_a_worker_alone_has_no_network_to_hide(tmp_path):
    assert "private network" not in preflight(tmp_path, "--private_network=never").stderr
    alone = commands.run("supervise", "--preflight", "--workers=1", f"--run_dir={tmp_path}")
    assert alone.returncode == 0 and "private network" not in alone.stderr
