"""The rules that the values of flags follow, alone and together."""

import dataclasses
from typing import Any

from pipeline.augment import mixes
from pipeline.config.flags import BALANCED
from pipeline.config.parsed import PARSED, Parsed
from pipeline.errors import UsageError
from pipeline.metrics import choosing
from pipeline.metrics import names as metrics
from pipeline.text.spelling import nearest

MOST_WHOLE = 2**31 - 1  # the default limit of integers: positions, which are steps times batches, then fit 63 bits
LARGEST_FLOAT32 = 3.4028234e38


def check(config: Parsed) -> None:
    """Raises UsageError for the first value that breaks a rule."""
    for field in dataclasses.fields(config):
        _check_value(field, getattr(config, field.name))
    for parsed in PARSED:
        getattr(config, parsed)
    for rule in (
        _shards_divide_the_batch,
        _schedule_fits,
        _muon_has_its_rates,
        _companions_are_given,
        _metrics_are_computed,
        _classes_are_balanced_once,
        _windows_end_in_time,
        _waits_fit,
    ):
        rule(config)


def _shards_divide_the_batch(config: Parsed) -> None:
    if config.grad_shards and config.global_batch % config.grad_shards:
        raise UsageError(
            f"global_batch={config.global_batch} does not split into {config.grad_shards} shards; "
            f"use a multiple of {config.grad_shards}, or other --grad_shards or --towers"
        )
    shards = config.grad_shards or 1
    if mixes(config.augmentation) and config.global_batch % (2 * shards):
        raise UsageError(
            f"augment={config.augment} mixes pairs of a shard's examples, and global_batch={config.global_batch} in "
            f"{shards} shards makes no pairs; use a --global_batch that is a multiple of {2 * shards}"
        )


def _schedule_fits(config: Parsed) -> None:
    if (config.schedule == "piecewise") != bool(config.piecewise):
        raise UsageError("--schedule=piecewise and --piecewise=STEP:RATE,... go together; give both or neither")
    if config.final_rate and config.schedule not in ("cosine", "linear", "onecycle"):
        raise UsageError(
            f"final_rate={config.final_rate} is of --schedule=cosine, linear or onecycle, and the schedule is "
            f"{config.schedule}; leave it out, or use one of them"
        )
    if config.final_rate > config.learning_rate:
        raise UsageError(
            f"final_rate={config.final_rate} is above learning_rate={config.learning_rate}, from which the rate falls; "
            "lower --final_rate"
        )
    end = config.decay_steps or config.steps
    if config.schedule not in ("constant", "piecewise") and config.warmup_steps >= end:
        raise UsageError(
            f"warmup_steps={config.warmup_steps} leaves no step for the schedule, which ends at step {end}; "
            "lower --warmup_steps or raise --decay_steps"
        )


def _muon_has_its_rates(config: Parsed) -> None:
    if config.muon_rate and config.optimizer != "muon":
        raise UsageError(
            f"muon_rate={config.muon_rate} is of --optimizer=muon, and the optimizer is {config.optimizer}; "
            "leave it out"
        )
    if config.optimizer == "muon" and not config.learning_rate:
        raise UsageError(
            "learning_rate=0 gives the schedule of --optimizer=muon no peak; give the rate of parameters that are no "
            "kernels of convolutions"
        )


def _companions_are_given(config: Parsed) -> None:
    if config.augment_steps and not config.augment:
        raise UsageError(
            f"augment_steps={config.augment_steps} needs --augment, which is not given; give both, or leave it out"
        )
    if config.init_sha256 and not config.init_from:
        raise UsageError("--init_sha256 needs --init_from, which is not given; give both, or leave it out")
    if config.early_stop and not config.eval_every:
        raise UsageError(f"early_stop={config.early_stop} needs evaluations; give --eval_every, or leave it out")
    if config.quiet and config.verbose:
        raise UsageError("--quiet and --verbose exclude each other; give one of them")


def _metrics_are_computed(config: Parsed) -> None:
    choosing.require_known(config.best_by)
    asked = [metric for metric in config.judges.values() if metric not in choosing.ALWAYS]
    metrics.check_task((*config.metric_names, *asked), config.multi_label)
    if metrics.ALL not in config.metric_names:  # `all` depends on the data
        choosing.require_computed(config.judges, config.metric_names)


def _classes_are_balanced_once(config: Parsed) -> None:
    if config.class_weights == config.sampling == BALANCED:
        raise UsageError(
            "class_weights=balanced and sampling=balanced both make up for classes of different sizes, and together "
            "would make small classes weigh most; give one of them"
        )


def _windows_end_in_time(config: Parsed) -> None:
    for name, window in (("average", config.average_window), ("profile", config.profile_window)):
        if window.end > config.steps:
            raise UsageError(
                f"{name}={getattr(config, name)} ends after the last of steps={config.steps}; "
                "lower its END, or raise --steps"
            )


def _waits_fit(config: Parsed) -> None:
    if config.min_workers and config.rejoin_timeout > config.start_timeout:
        raise UsageError(
            f"rejoin_timeout={config.rejoin_timeout} is longer than start_timeout={config.start_timeout}, at which a "
            "start is given up; lower it, or raise --start_timeout"
        )


def _check_value(field: dataclasses.Field, value: Any) -> None:
    name, rule = field.name, field.metadata
    if isinstance(value, str) and value != value.strip():
        raise UsageError(f"{name}='{value}' begins or ends with a space; write it without, as --{name}={value.strip()}")
    if rule["choices"] and value not in rule["choices"]:
        raise UsageError(f"{name}={value} is unknown{nearest(value, rule['choices'])}")
    if isinstance(value, float) and not abs(value) <= LARGEST_FLOAT32:
        raise UsageError(f"{name}={value} is not a finite number of 32 bits; give one, as --{name}={field.default}")
    least, most = rule["least"], rule["most"]
    if most is None and type(value) is int:
        most = MOST_WHOLE
    if least is not None and value < least:
        raise UsageError(f"{name}={value} is too small; the least is {least}")
    if most is not None and value > most:
        raise UsageError(f"{name}={value} is too large; the most is {most}")
