"""What a user has set for other projects changes no number here."""

import json
from collections.abc import Sequence

import commands
import pytest

from pipeline.errors import ExitCode

BRIEF = ("--source=fake:100", "--model=cnn", "--global_batch=20", "--steps=4", "--eval_every=0", "--intra_op_threads=2")


def sha256(run_dir, flags: Sequence[str] = ("--grad_shards=2",), **variables: str) -> str:
    """Of the parameters on which a brief run ends under these variables."""
    told = commands.succeed("train", *BRIEF, *flags, f"--run_dir={run_dir}", env=commands.environment(**variables))
    return json.loads(told.splitlines()[-1])["parameters_sha256"]


@pytest.fixture
def home(tmp_path):
    """Makes a home directory with a configuration of Keras; the variables that lead there."""

    def make(text: str) -> dict[str, str]:
        (tmp_path / "home" / ".keras").mkdir(parents=True)
        (tmp_path / "home" / ".keras" / "keras.json").write_text(text)
        return {"HOME": str(tmp_path / "home")}

    return make


def test_neither_keras_configuration_nor_its_backend_changes_a_number(tmp_path, home):
    other = {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 0.1, "backend": "torch"}
    theirs = sha256(tmp_path / "theirs", KERAS_BACKEND="torch", **home(json.dumps(other)))
    assert theirs == sha256(tmp_path / "plain")


@pytest.mark.parametrize("text", ["[]", '{"epsilon": "small"}', '{"floatx": "float7"}'])
def test_a_configuration_that_keras_cannot_use_is_named(tmp_path, home, text):
    line = commands.refuse(
        ExitCode.USAGE, "train", *BRIEF, f"--run_dir={tmp_path}/run", env=commands.environment(**home(text))
    )
    assert line.startswith("usage: Keras cannot use its configuration (") and "~/.keras/keras.json" in line


def test_operations_that_must_be_deterministic_train_on_any_number_of_towers(tmp_path):
    one, two = (
        sha256(tmp_path / f"{n}", TF_DETERMINISTIC_OPS="1", flags=("--grad_shards=2", f"--towers={n}")) for n in (1, 2)
    )
    assert one == two


def test_a_variable_that_lets_xla_merge_the_towers_operations_is_named_at_once(tmp_path):
    env = commands.environment(TF_XLA_FLAGS="--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit")
    line = commands.refuse(ExitCode.USAGE, "train", *BRIEF, f"--run_dir={tmp_path}/run", env=env)
    assert line.startswith("usage: TF_XLA_FLAGS=--tf_xla_auto_jit=2 ") and line.endswith("; unset it")
