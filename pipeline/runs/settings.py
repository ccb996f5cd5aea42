"""The settled configuration of a start: checked against the registries, and against the recorded one."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import config as configuration
from pipeline import models, sources, tracking  # their registries of names: no TensorFlow is imported here
from pipeline.config import BALANCED, Config
from pipeline.engine.topology import Topology
from pipeline.errors import StorageError, UsageError
from pipeline.models.names import KERAS
from pipeline.process import messages
from pipeline.storage import stores
from pipeline.storage.files import expand

# Fields of a run that whoever reads it may replace: what computes, the data that a split is of, and the metrics.
COMPUTING = ("towers", "tower_devices", "data_dir", "eval_batch")
SPLIT = ("source", "record_image_key", "record_label_key")
METRICS = ("metrics",)
READERS_OWN = {"towers": 0, "tower_devices": ""}  # never the run's, whose devices are often another machine's

PLACES = ("source", "class_names", "class_weights", "init_from")  # fields that say where an input lies


def check(config: Config) -> None:
    """Raises UsageError for the first value that breaks a rule, or for a name that no registry knows."""
    config.validate()
    sources.check(config.source)
    models.check(config.model)
    if config.normalize and config.model.startswith(KERAS):
        raise UsageError(
            f"normalize={config.normalize} and the preprocessing of model={config.model} exclude each other; "
            "leave --normalize out"
        )
    if config.mirror:
        stores.check(config.mirror, "mirror")
    if config.track:
        tracking.check(config.track)
    if config.notify:
        messages.check(config.notify, "notify")


def completed(asked: Config) -> Config:
    """The configuration that was asked for, checked, with its source's one spelling and the default of --run_dir.

    Raises UsageError, as `check` does.
    """
    config = normalized(asked)
    check(config)
    # The shell leaves the ~ in --run_dir=~/runs to us.
    run_dir = expand(str(config.run_dir or config.default_run_dir()), "run_dir")
    mirror = expand(config.mirror, "mirror") if config.mirror else ""
    return dataclasses.replace(config, run_dir=run_dir, mirror=mirror)


def normalized(config: Config) -> Config:
    """The configuration with the one spelling of its source."""
    source = "fake" if config.fake_data else sources.normalized(config.source)
    return dataclasses.replace(config, source=source, fake_data=False)


def for_reading(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that replace a run's where it is read: the devices, and the given ones. Raises UsageError."""
    fields = {**READERS_OWN, **given}
    if "source" in fields:
        fields["source"] = sources.normalized(fields["source"])
    check(Config(**fields))
    return fields


def settle(asked: Config, recorded: Config | None, checkpoints: Sequence[int], topology: Topology) -> Config:
    """The configuration to run with: a pure function.

    asked: from the flags. recorded: from the run in the directory, if there is one. checkpoints: the steps of its
    checkpoints. Raises UsageError if --resume forbids the start, if the numbers would change, or if the shards do not
    split over the towers; StorageError for checkpoints without a configuration.
    """
    if checkpoints and recorded is None:
        raise StorageError(
            f"{asked.run_dir} holds checkpoints but no config.flags; restore it, or use another --run_dir"
        )
    if asked.resume == "required" and not checkpoints:
        raise UsageError(f"resume=required, but {asked.run_dir} holds no checkpoint; check --run_dir, or --resume=auto")
    if asked.resume == "never" and checkpoints:
        raise UsageError(
            f"resume=never, but {asked.run_dir} holds checkpoints; use another --run_dir, or --resume=auto"
        )
    settled = _with_choices(asked, recorded, topology)
    settled.validate()
    topology.check_shards(settled.grad_shards, settled.all_reduce)
    _check_rechecks(settled, topology)
    return settled


def _check_rechecks(config: Config, topology: Topology) -> None:
    """Raises UsageError if towers may compute other bits without an error of theirs."""
    kinds = sorted({kind for kind, _ in topology.towers})
    if config.recheck_every and len(kinds) > 1:
        raise UsageError(
            f"recheck_every={config.recheck_every} compares bits, and towers of two kinds ({', '.join(kinds)}) have "
            "others; use towers of one kind, or --recheck_every=0"
        )
    if config.recheck_every and not (config.deterministic or topology.all_on_cpu):
        raise UsageError(
            f"recheck_every={config.recheck_every} compares bits, which differ every time on GPUs with "
            "--nodeterministic; leave that out, or use --recheck_every=0"
        )


def shards(asked: Config, recorded: Config | None, topology: Topology) -> int:
    """The number of shards that `settle` will settle. Raises UsageError if the numbers of the run would change."""
    return _with_choices(asked, recorded, topology).grad_shards


def _with_choices(asked: Config, recorded: Config | None, topology: Topology) -> Config:
    """A job that shrinks and grows gets the shards of the whole job, whoever is there at its first start."""
    towers = topology.num_towers * max(topology.workers.count, len(topology.workers.candidates))
    return configuration.resolve(asked if recorded is None else continued(asked, recorded), towers)


def continued(asked: Config, recorded: Config) -> Config:
    """The configuration that continues a recorded one. Raises UsageError if the numbers of the run would change."""
    if asked.reshard:  # take the asked number of shards; 0 is then resolved anew, to one per tower
        recorded = dataclasses.replace(recorded, grad_shards=asked.grad_shards)
    recorded = dataclasses.replace(recorded, **_moved(asked, recorded))
    settled = configuration.keep_recorded(recorded, asked)
    if changed := configuration.differences(recorded, settled):
        raise UsageError(
            f"{asked.run_dir} was started with another configuration ({'; '.join(changed)}); "
            "use its own values, or another --run_dir"
        )
    return settled


def _moved(asked: Config, recorded: Config) -> dict[str, Any]:
    """The asked PLACES that may hold what the recorded ones did, as in the scratch directory of another job.

    Whether they do, a resume finds out: it compares examples, names of classes and weights with those of the
    checkpoint, which holds the parameters of --init_from itself.
    """
    weights = asked.class_weights, recorded.class_weights
    may_move = {
        "source": sources.may_be_same(asked.source, recorded.source),
        "class_names": True,
        "class_weights": not {"", BALANCED} & set(weights),
        "init_from": bool(asked.init_from and recorded.init_from),
    }
    return {name: getattr(asked, name) for name in PLACES if may_move[name]}
