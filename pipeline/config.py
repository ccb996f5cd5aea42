"""The configuration: one frozen dataclass, one field = one flag.

A field says in its metadata which part of a run it can change:

* MATHEMATICS: the numbers; fixed for the life of a run, so a resume that differs is refused.
* KEPT: mathematics too, but 0 (or "") asks for a value that fits; it is chosen once and kept from then on.
* LENGTH: how far the run goes; a resume may raise it.
* EXECUTION: how the same numbers are computed, reported and kept; may differ at every start.
"""

import dataclasses
import functools
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from pipeline.augment import Operation, parse
from pipeline.errors import UsageError
from pipeline.text import flag_values
from pipeline.text.flag_values import MOST_TOWERS, Device, Steps
from pipeline.text.spelling import nearest

MATHEMATICS, KEPT, LENGTH, EXECUTION = "mathematics", "kept", "length", "execution"

OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "linear", "exponential", "piecewise", "onecycle")
PRECISIONS = ("float32", "bfloat16", "float16")

# What is said anew at every start, and so is not recorded.
OF_ONE_START = (
    *("run_dir", "dry_run", "resume", "reshard", "worker_addresses", "worker_index"),
    *("quiet", "verbose", "profile", "repeat"),
)

# Fields that came after 0.1: where they are not given, a run keeps the default directory that it had before.
_LATER = ("record_image_key", "record_label_key", "class_names")

MOST_WHOLE = 2**31 - 1  # unless a field says otherwise; positions, which are steps times batches, then fit 63 bits
LARGEST_FLOAT32 = 3.4028234e38


def _field(default, help_text: str, *, topic: str, role: str = MATHEMATICS, choices=None, least=None, most=None):
    metadata = {"help": help_text, "topic": topic, "role": role, "choices": choices, "least": least, "most": most}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything a run is told. Construct, then `validate`."""

    # fmt: off
    source: str = _field("digits", "{sources}.", topic="data")
    data_dir: str = _field("", "Where TFDS data sets and the digits cache lie (default: ~/tensorflow_datasets and "
        "~/.cache/pipeline).", topic="data", role=EXECUTION)
    fake_data: bool = _field(False, "The same as --source=fake.", topic="data")
    validation_fraction: float = _field(0.0833333, "Share of the training examples held out for validation (and for "
        "test) where the source has no such split of its own (of 60,000: 5,000).", topic="data", least=0, most=0.9)
    image_size: int = _field(0, "Height and width of the images: others are cropped around the middle and resized "
        "(0: their own).",
        topic="data", least=0)
    record_image_key: str = _field("", "tfrecord: the feature that holds the encoded picture (default: image/encoded "
        "or image).", topic="data")
    record_label_key: str = _field("", "tfrecord: the feature that holds the label (default: image/class/label or "
        "label).", topic="data")
    class_names: str = _field("", "tfrecord and tar: a file with a class name a line, in the order of the labels "
        "(default: the texts that the files have, else numbers).", topic="data")
    augment: str = _field("", "Comma list of resize_crop:AREA (a random part, at least this share of the picture, "
        "resized), shift:PIXELS, rotate:DEGREES, scale:FRACTION, shear:DEGREES, flip, crop:PIXELS, "
        "elastic:PIXELS, cutout:PIXELS.", topic="data")
    augment_steps: int = _field(0, "Steps with --augment; those after them train on images as they are, which is "
        "what the test split will show (0: all).", topic="data", least=0)

    model: str = _field("convolutional", "{models}, or your own package.module:function.", topic="model")
    precision: str = _field("float32", "What the towers compute in; variables are float32.", topic="model",
        choices=PRECISIONS)
    label_smoothing: float = _field(0.0, "Share of the label spread over all classes.", topic="model", least=0,
        most=0.999)
    init_from: str = _field("", "Start from the parameters of another run (its directory; the newest checkpoint) or of "
        "a .keras file, as far as they fit, instead of fresh ones.", topic="model")
    init_sha256: str = _field("", "The parameters_sha256 that --init_from must have (default: what it has at the first "
        "start; kept).", topic="model", role=KEPT)

    global_batch: int = _field(100, "Examples in a step, over all towers.", topic="optimization", least=1)
    steps: int = _field(1000, "The global step at which the run is finished.", topic="optimization", role=LENGTH,
        least=1)
    optimizer: str = _field("adam", "The update rule.", topic="optimization", choices=OPTIMIZERS)
    learning_rate: float = _field(1e-3, "The peak learning rate.", topic="optimization", least=0)
    schedule: str = _field("constant", "How the rate goes from its peak over --decay_steps.", topic="optimization",
        choices=SCHEDULES)
    warmup_steps: int = _field(0, "Steps of linear rise before the schedule.", topic="optimization", least=0)
    decay_steps: int = _field(0, "The step at which the schedule ends (0: --steps at the first start; kept).",
        topic="optimization", role=KEPT, least=0)
    decay_rate: float = _field(0.1, "exponential: the factor reached at --decay_steps.", topic="optimization", least=0)
    piecewise: str = _field("", "piecewise: STEP:RATE,STEP:RATE; the rate from each step on.", topic="optimization")
    momentum: float = _field(0.9, "Momentum of momentum and nesterov.", topic="optimization", least=0, most=1)
    weight_decay: float = _field(0.0, "Decay of parameters of two or more dimensions: decoupled for adamw, added to "
        "the gradient for the others.", topic="optimization", least=0)
    clip_norm: float = _field(0.0, "Largest global norm of the gradient (0: no limit).", topic="optimization", least=0)
    average: str = _field("", "START:END; after step END - 1, the mean of the parameters after each of the steps START "
        "to END - 1 takes their place.", topic="optimization")
    seed: int = _field(1, "The seed of everything random.", topic="optimization", least=0, most=2**63 - 1)

    towers: int = _field(0, "Towers (0: one per visible GPU, else one on the CPU).", topic="devices", role=EXECUTION,
        least=0, most=MOST_TOWERS)
    tower_devices: str = _field("", "The towers' devices by name, as gpu:2,gpu:3 (overrides --towers).",
        topic="devices", role=EXECUTION)
    variables: str = _field("auto", "Where variables lie: a replica on every tower, one copy on the CPU, or one on the "
        "first tower; auto: a replica on every GPU, but one copy where all towers share the CPU's memory.",
        topic="devices", role=EXECUTION, choices=("auto", "replicated", "cpu", "first"))
    grad_shards: int = _field(0, "Fixed slices of the global batch whose gradients are summed in one tree (0: one per "
        "tower at the first start; kept).", topic="devices", role=KEPT, least=0)
    reshard: bool = _field(False, "Let a resume change --grad_shards; the bits part from there on.", topic="devices",
        role=EXECUTION)
    intra_op_threads: int = _field(0, "Threads inside one operation; they decide the order of its sums (0: one per "
        "core at the first start; kept).", topic="devices", role=KEPT, least=0, most=1024)
    steps_per_loop: int = _field(10, "Steps inside one call of the training function.", topic="devices",
        role=EXECUTION, least=1)
    log_device_placement: bool = _field(False, "Let TensorFlow log the device of every operation.", topic="devices",
        role=EXECUTION)
    soft_device_placement: bool = _field(False, "Move an operation without a kernel on its tower's device, instead of "
        "stopping.", topic="devices", role=EXECUTION)

    worker_addresses: str = _field("", "Every worker's HOST:PORT, in order, as h1:9000,h2:9000 (default: as TF_CONFIG "
        "or Slurm say, else one worker alone).", topic="workers", role=EXECUTION)
    worker_index: int = _field(-1, "Which of --worker_addresses this process is (-1: as TF_CONFIG or Slurm say).",
        topic="workers", role=EXECUTION, least=-1)
    all_reduce: str = _field("exact", "How gradients are added over workers. exact: in rounds of pairs, by the same "
        "tree on any number of workers; fast: in one ring, whose bits are those of its number of workers.",
        topic="workers", choices=("exact", "fast"))
    wire: str = _field("float32", "What gradients travel as between workers; bfloat16 halves the traffic and rounds "
        "them.", topic="workers", choices=("float32", "bfloat16"))
    start_timeout: int = _field(300, "Seconds to wait for all workers at the start, and for the first step.",
        topic="workers", role=EXECUTION, least=1)
    stall_timeout: int = _field(20, "Seconds without a word or a step of a worker after which the others leave it.",
        topic="workers", role=EXECUTION, least=5)
    preemption_deadline: int = _field(60, "Seconds that a stop may take, saving included, before the process ends "
        "itself.", topic="workers", role=EXECUTION, least=1)

    run_dir: str = _field("", "Where the run lives (default: runs/ and a name made of what it trains).", topic="run",
        role=EXECUTION)
    repeat: int = _field(1, "Runs to make one after another, with the seeds --seed, --seed + 1, ..., each in its own "
        "directory seed-N in --run_dir; ends with their mean and deviation.", topic="run", role=EXECUTION, least=1,
        most=1000)
    resume: str = _field("auto", "auto: go on where checkpoints lie; never: only start; required: only go on.",
        topic="run", role=EXECUTION, choices=("auto", "never", "required"))
    checkpoint_every: int = _field(500, "Steps between checkpoints (0: only the last).", topic="run", role=EXECUTION,
        least=0)
    keep_checkpoints: int = _field(3, "Newest checkpoints kept, besides the best.", topic="run", role=EXECUTION,
        least=1)
    eval_every: int = _field(500, "Steps between evaluations on validation (0: never).", topic="run", role=EXECUTION,
        least=0)
    eval_batch: int = _field(500, "Examples that a tower evaluates at a time.", topic="run", role=EXECUTION, least=1)
    log_every: int = _field(100, "Steps between progress lines and scalars (0: never).", topic="run", role=EXECUTION,
        least=0)
    summary_every: int = _field(0, "Steps between histograms of gradients (0: never); those of parameters come with "
        "them, with each evaluation and at the end.", topic="run", role=EXECUTION, least=0)
    quiet: bool = _field(False, "Print nothing but the result.", topic="run", role=EXECUTION)
    verbose: bool = _field(False, "Print details too: checkpoints, where the time goes, rates and norms.", topic="run",
        role=EXECUTION)
    profile: str = _field("", "START:END; write TensorFlow's profiler trace of steps START to END - 1.", topic="run",
        role=EXECUTION)
    dry_run: bool = _field(False, "Print what would run, and the first steps' examples and rates; then exit.",
        topic="run", role=EXECUTION)
    # fmt: on

    @functools.cached_property
    def rates(self) -> tuple[tuple[int, float], ...]:
        """--piecewise, read: the rate from each step on."""
        return flag_values.rates(self.piecewise)

    @functools.cached_property
    def average_window(self) -> Steps:
        """--average, read: the steps over which the parameters are averaged."""
        return flag_values.steps("average", self.average)

    @functools.cached_property
    def profile_window(self) -> Steps:
        """--profile, read: the steps that are traced."""
        return flag_values.steps("profile", self.profile)

    @functools.cached_property
    def devices(self) -> tuple[Device, ...]:
        """--tower_devices, read."""
        return flag_values.devices(self.tower_devices)

    @functools.cached_property
    def augmentation(self) -> tuple[Operation, ...]:
        """--augment, read."""
        return parse(self.augment)

    def validate(self) -> None:
        """Raises UsageError for the first rule that a value breaks; touches no device and no disk.

        The registries of sources and models check their names: see runs/settings.py.
        """
        for field in dataclasses.fields(self):
            _check_value(field, getattr(self, field.name))
        for read in ("rates", "devices", "average_window", "profile_window", "augmentation"):
            getattr(self, read)
        if self.grad_shards and self.global_batch % self.grad_shards:
            raise UsageError(
                f"global_batch={self.global_batch} does not split into {self.grad_shards} shards; "
                f"use a multiple of {self.grad_shards}, or other --grad_shards or --towers"
            )
        if (self.schedule == "piecewise") != bool(self.piecewise):
            raise UsageError("--schedule=piecewise and --piecewise=STEP:RATE,... go together; give both or neither")
        end = self.decay_steps or self.steps
        if self.schedule not in ("constant", "piecewise") and self.warmup_steps >= end:
            raise UsageError(
                f"warmup_steps={self.warmup_steps} leaves no step for the schedule, which ends at step {end}; "
                "lower --warmup_steps or raise --decay_steps"
            )
        if self.augment_steps and not self.augment:
            raise UsageError(
                f"augment_steps={self.augment_steps} is of --augment, which is not given; give both, or leave it out"
            )
        if self.init_sha256 and not self.init_from:
            raise UsageError("--init_sha256 is of --init_from, which is not given; give both, or leave it out")
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose exclude each other; give one of them")
        for name, window in (("average", self.average_window), ("profile", self.profile_window)):
            if window.end > self.steps:
                raise UsageError(
                    f"{name}={getattr(self, name)} ends after the last of steps={self.steps}; "
                    "lower its END, or raise --steps"
                )

    def role(self, *roles: str) -> dict[str, Any]:
        """The fields of these roles and their values."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata["role"] in roles}

    def mathematics(self) -> dict[str, Any]:
        """What decides the numbers of a run."""
        return self.role(MATHEMATICS, KEPT)

    def default_run_dir(self) -> Path:
        """runs/SOURCE-MODEL-HASH, a function of the mathematics: the same command finds the same run."""
        counted = {name: value for name, value in self.mathematics().items() if value or name not in _LATER}
        mathematics = repr(sorted(counted.items())).encode()
        words = (self.source, self.model, hashlib.sha256(mathematics).hexdigest()[:8])
        return Path("runs") / "-".join(re.sub(r"[^\w.]+", "_", word).strip("_") for word in words)

    def to_flags(self) -> str:
        """An absl flagfile that repeats the run, in whichever --run_dir it is then given."""
        recorded = [name for name in self.__dataclass_fields__ if name not in OF_ONE_START]
        return "".join(f"--{name}={text(getattr(self, name))}\n" for name in recorded)

    def to_arguments(self) -> list[str]:
        """The command line that asks for just this."""
        return [f"--{name}={text(getattr(self, name))}" for name in self.__dataclass_fields__]


def text(value: Any) -> str:
    """A field's value as a flag takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def read(name: str, text: str) -> Any:
    """The value of a field that `text` means. Raises ValueError if it means none of the field's type."""
    kind: Any = type(Config.__dataclass_fields__[name].default)
    if kind is bool and text not in ("true", "false"):
        raise ValueError(text)
    return text == "true" if kind is bool else kind(text)


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


def differences(recorded: Config, asked: Config) -> list[str]:
    """What would change the numbers of a recorded run, as 'name: recorded -> asked'; LENGTH and EXECUTION may."""
    before, after = recorded.mathematics(), asked.mathematics()
    return [f"{name}: {before[name]} -> {after[name]}" for name in before if before[name] != after[name]]


def keep(recorded: Config, asked: Config) -> Config:
    """`asked`, with what was chosen at the first start in place of every KEPT field it leaves at 0 or ""."""
    kept = {name: recorded.role(KEPT)[name] for name, value in asked.role(KEPT).items() if not value}
    return dataclasses.replace(asked, **kept)


def resolve(config: Config, num_towers: int) -> Config:
    """A first start's configuration with every KEPT 0 replaced by the value that fits here."""
    chosen: dict[str, Any] = {
        "grad_shards": config.grad_shards or num_towers,
        "decay_steps": config.decay_steps or config.steps,
        "intra_op_threads": config.intra_op_threads or len(os.sched_getaffinity(0)),
    }
    return dataclasses.replace(config, **chosen)
