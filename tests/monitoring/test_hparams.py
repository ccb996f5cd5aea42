"""The row of the HParams table, read back by TensorBoard's own classes."""

from tensorboard.plugins.hparams import metadata

from pipeline.config import Config
from pipeline.monitoring import hparams


def row(run_dir: str, **fields):
    """What `start` says of the run's own row."""
    summary = hparams.start(Config(run_dir=run_dir, **fields))[1]
    return metadata.parse_session_start_info_plugin_data(summary.value[0].metadata.plugin_data.content)


def test_a_row_has_what_the_run_was_given():
    told = row("runs/one", learning_rate=0.25, model="dense", steps=7)
    assert told.group_name == "one (runs)"
    assert set(told.hparams) == set(hparams.FIELDS)
    assert told.hparams["learning_rate"].number_value == 0.25
    assert told.hparams["steps"].number_value == 7
    assert told.hparams["model"].string_value == "dense"


def test_columns_and_metrics_are_declared():
    experiment, _ = hparams.start(Config(run_dir="runs/one"))
    told = metadata.parse_experiment_plugin_data(experiment.value[0].metadata.plugin_data.content)
    assert [info.name for info in told.hparam_infos] == list(hparams.FIELDS)
    assert {info.name for info in told.hparam_infos if info.differs} == set(hparams.SHOWN_FIRST)
    assert {(info.name.group, info.name.tag) for info in told.metric_infos} == {
        (split, f"curves/{name}") for split in ("test", "validation") for name in ("accuracy", "loss")
    }


def test_equal_runs_in_two_directories_have_two_rows():
    assert row("a/run").group_name != row("b/run").group_name
