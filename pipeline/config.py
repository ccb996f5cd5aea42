"""The configuration: one frozen dataclass, whose fields are the flags.

The metadata of a field has its role:

* MATHEMATICS: it decides the numbers of a run. It is fixed for the life of the run: a resume with another value is
  refused.
* KEPT: mathematics too, but 0 (or "") asks for a default that depends on the machine or the other flags. This is chosen
  at the first start and kept from then on.
* LENGTH: it decides the length of the run. A resume may change it.
* EXECUTION: it decides how the numbers are computed, reported and saved. It may differ at every start.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from pipeline.augment import Operation, mixes, parse
from pipeline.errors import UsageError
from pipeline.text import flag_values
from pipeline.text.flag_values import BETTER, MOST_TOWERS, Device, EarlyStop, ImageSize, Normalization, Steps
from pipeline.text.spelling import nearest

MATHEMATICS, KEPT, LENGTH, EXECUTION = "mathematics", "kept", "length", "execution"

OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "lars", "lion")
SCHEDULES = ("constant", "cosine", "linear", "exponential", "piecewise", "onecycle")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")

# Fields that hold for one start only, and so are not recorded.
OF_ONE_START = (
    *("run_dir", "mirror", "notify", "dry_run", "resume", "same_hardware", "reshard"),
    *("worker_addresses", "worker_index", "quiet", "verbose", "profile", "repeat"),
)

# Fields that decide no numbers, but what a step is followed by: all workers must do it at the same time.
ALIKE = ("steps", "early_stop", "best_by", "on_divergence", "max_rollbacks", "recheck_every")

# Fields that came after 0.1: where they are not given, a run keeps the default directory that it had before.
_LATER = (
    *("record_image_key", "record_label_key", "class_names", "deterministic", "jit", "eval_crop", "normalize"),
    *("beta_1", "beta_2", "epsilon", "freeze", "final_rate", "ema"),
)

# The properties that hold parsed values, and raise UsageError where that cannot be.
_PARSED = (
    "size",
    "rates",
    "devices",
    "average_window",
    "profile_window",
    "augmentation",
    "normalization",
    "frozen",
    "stop_rule",
)

MOST_WHOLE = 2**31 - 1  # the default limit of integers: positions, which are steps times batches, then fit 63 bits
LARGEST_FLOAT32 = 3.4028234e38


def _field(
    default: Any,
    help_text: str,
    *,
    topic: str,
    role: str = MATHEMATICS,
    choices: tuple[str, ...] | None = None,
    least: float | None = None,
    most: float | None = None,
) -> Any:
    metadata = {"help": help_text, "topic": topic, "role": role, "choices": choices, "least": least, "most": most}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags of a run. Construct it, then call `validate`."""

    # fmt: off
    source: str = _field("digits", "{sources}.", topic="data")
    data_dir: str = _field("", "The directory of TFDS data sets and of the digits cache (default: "
        "~/tensorflow_datasets and ~/.cache/pipeline).", topic="data", role=EXECUTION)
    fake_data: bool = _field(False, "Short for --source=fake.", topic="data")
    validation_fraction: float = _field(0.0833333, "Share of the training examples held out for validation (and for "
        "test) where the source has no such split (of 60,000: 5,000).", topic="data", least=0, most=0.9)
    image_size: str = _field("0", "The size of the images: the side of squares, or HEIGHTxWIDTH, as 224x160. Images of "
        "another size are cropped around the middle and resized (0: the source's own size).", topic="data")
    eval_crop: float = _field(1.0, "Evaluate, and predict, on the middle of each picture: this share of its height and "
        "width, resized (1: all of it).", topic="data", least=0.01, most=1)
    record_image_key: str = _field("", "tfrecord: the feature that holds the encoded picture (default: image/encoded "
        "or image).", topic="data")
    record_label_key: str = _field("", "tfrecord: the feature that holds the label (default: image/class/label or "
        "label).", topic="data")
    class_names: str = _field("", "folder, csv, tfrecord and tar: a file with a class name a line, in the order of "
        "the labels (default: the names that the data has, sorted; else numbers).", topic="data")
    augment: str = _field("", "Comma list of resize_crop:AREA (a random part, at least this share of the picture, "
        "resized), shift:PIXELS, rotate:DEGREES, scale:FRACTION, shear:DEGREES, flip, crop:PIXELS, "
        "elastic:PIXELS, cutout:PIXELS, randaugment:MAGNITUDE:TIMES, brightness:FRACTION, contrast:FRACTION, "
        "saturation:FRACTION, hue:SHARE, erasing:SHARE (of the images), mixup:ALPHA, cutmix:ALPHA.", topic="data")
    augment_steps: int = _field(0, "Steps with --augment. Later steps train on unchanged images, like those of the "
        "test split (0: all steps).", topic="data", least=0)

    model: str = _field("convolutional", "{models}, keras:NAME (an image network of keras.applications), or "
        "your own package.module:function.", topic="model")
    precision: str = _field("float32", "The type that the towers compute in; variables are float32. tf32: float32, "
        "whose products GPUs round to 10 bits of mantissa.", topic="model", choices=PRECISIONS)
    deterministic: bool = _field(True, "Let GPUs use only operations that give the same bits every time; "
        "--nodeterministic may be faster, and is not exact. CPUs always do.", topic="model")
    jit: bool = _field(False, "Let XLA compile the forward and backward pass of each shard.", topic="model")
    normalize: str = _field("", "MEAN/DEVIATION of the pixels in [0, 1], by which images are normalized: one number "
        "each, or one a channel, as 0.49,0.48,0.45/0.25,0.24,0.26; or {normalizations} (default: no normalization).",
        topic="model")
    label_smoothing: float = _field(0.0, "Share of the label spread over all classes.", topic="model", least=0,
        most=0.999)
    init_from: str = _field("", "A run's directory (its newest checkpoint), a .keras file, or for keras:NAME an "
        ".h5 file of its weights: start from its parameters, as far as they fit, instead of fresh ones.", topic="model")
    init_sha256: str = _field("", "The parameters_sha256 that --init_from must have (default: the one at the first "
        "start; kept).", topic="model", role=KEPT)

    global_batch: int = _field(100, "Examples in a step, over all towers.", topic="optimization", least=1)
    steps: int = _field(1000, "The global step at which the run is finished.", topic="optimization", role=LENGTH,
        least=1)
    optimizer: str = _field("adam", "The update rule.", topic="optimization", choices=OPTIMIZERS)
    learning_rate: float = _field(1e-3, "The peak learning rate.", topic="optimization", least=0)
    schedule: str = _field("constant", "The course of the rate from its peak to --decay_steps.", topic="optimization",
        choices=SCHEDULES)
    warmup_steps: int = _field(0, "Steps of linear rise before the schedule.", topic="optimization", least=0)
    decay_steps: int = _field(0, "The step at which the schedule ends (0: --steps at the first start; kept).",
        topic="optimization", role=KEPT, least=0)
    decay_rate: float = _field(0.1, "exponential: the factor reached at --decay_steps.", topic="optimization", least=0)
    final_rate: float = _field(0.0, "cosine, linear, onecycle: the rate at --decay_steps and from there on.",
        topic="optimization", least=0)
    piecewise: str = _field("", "piecewise: STEP:RATE,STEP:RATE; the rate from each step on.", topic="optimization")
    momentum: float = _field(0.9, "Momentum of momentum, nesterov and lars.", topic="optimization", least=0, most=1)
    beta_1: float = _field(0.9, "Share of the mean gradient that adam, adamw and lion keep.", topic="optimization",
        least=0, most=0.999999)
    beta_2: float = _field(0.0, "Share of the mean square that adam, adamw and rmsprop keep, and share of the mean "
        "gradient that lion keeps (0: 0.999; rmsprop 0.9; lion 0.99).", topic="optimization", least=0, most=0.999999)
    epsilon: float = _field(0.0, "Number that adam, adamw and rmsprop add to the root of the mean square, or under it "
        "(0: 1e-8; rmsprop 1e-7).", topic="optimization", least=0)
    freeze: str = _field("", "A regular expression: parameters whose whole path it matches, as conv1/kernel, are not "
        "trained.", topic="optimization")
    weight_decay: float = _field(0.0, "Decay of parameters of two or more dimensions: decoupled for adamw, part of the "
        "step of lion and lars, added to the gradient for the others.", topic="optimization", least=0)
    clip_norm: float = _field(0.0, "Largest global norm of the gradient (0: no limit).", topic="optimization", least=0)
    average: str = _field("", "START:END. After step END - 1, the parameters become their mean over the steps START to "
        "END - 1.", topic="optimization")
    ema: float = _field(0.0, "Share that the moving averages of the parameters keep at each step, such as 0.9998; "
        "evaluations and exports take the averages, training goes on from the parameters (0: no averages).",
        topic="optimization", least=0, most=0.999999)
    seed: int = _field(1, "The seed of all random numbers.", topic="optimization", least=0, most=2**63 - 1)

    towers: int = _field(0, "Towers (0: one per visible GPU, else one on the CPU).", topic="devices", role=EXECUTION,
        least=0, most=MOST_TOWERS)
    tower_devices: str = _field("", "The towers' devices by name, as gpu:2,gpu:3 (overrides --towers).",
        topic="devices", role=EXECUTION)
    logical_gpus: int = _field(0, "Logical GPUs that each GPU is split into, for several towers on one (0: it is not "
        "split).", topic="devices", role=EXECUTION, least=0, most=MOST_TOWERS)
    gpu_memory_mib: int = _field(4096, "Memory of a logical GPU, in MiB.", topic="devices", role=EXECUTION, least=1)
    shards_at_once: int = _field(0, "Shards of a tower that may be computed at the same time; fewer need less memory "
        "(0: all on a CPU, one on a GPU).", topic="devices", role=EXECUTION, least=0)
    variables: str = _field("auto", "The place of the variables. replicated: a replica on every tower; cpu: one copy "
        "on the CPU; first: one copy on the first tower; auto: replicated on GPUs, one copy on CPU towers, which share "
        "their memory.", topic="devices", role=EXECUTION, choices=("auto", "replicated", "cpu", "first"))
    grad_shards: int = _field(0, "The number of shards of the global batch, whose gradients are summed in one fixed "
        "tree (0: one per tower at the first start; kept).", topic="devices", role=KEPT, least=0)
    reshard: bool = _field(False, "Let a resume change --grad_shards; the bits differ from there on.", topic="devices",
        role=EXECUTION)
    intra_op_threads: int = _field(0, "Threads inside one operation; they decide the order of its sums (0: one per "
        "core at the first start; kept).", topic="devices", role=KEPT, least=0, most=1024)
    steps_per_loop: int = _field(10, "Steps inside one call of the training function.", topic="devices",
        role=EXECUTION, least=1)
    log_device_placement: bool = _field(False, "Let TensorFlow log the device of every operation.", topic="devices",
        role=EXECUTION)
    soft_device_placement: bool = _field(False, "Let TensorFlow move an operation that has no kernel on its tower's "
        "device, instead of stopping.", topic="devices", role=EXECUTION)

    worker_addresses: str = _field("", "Every worker's HOST:PORT, in order, as h1:9000,h2:9000 (default: from "
        "TF_CONFIG or Slurm, else a single worker).", topic="workers", role=EXECUTION)
    worker_index: int = _field(-1, "The index of this process in --worker_addresses (-1: from TF_CONFIG or Slurm).",
        topic="workers", role=EXECUTION, least=-1)
    all_reduce: str = _field("exact", "The way to add gradients over workers. exact: by one fixed tree, so the bits do "
        "not depend on the number of workers; fast: in one ring, so they do.",
        topic="workers", choices=("exact", "fast"))
    wire: str = _field("float32", "The type of gradients between workers; bfloat16 halves the traffic and rounds "
        "them.", topic="workers", choices=("float32", "bfloat16"))
    start_timeout: int = _field(300, "Seconds to wait for all workers at the start, and for the first step.",
        topic="workers", role=EXECUTION, least=1)
    slow_share: float = _field(0.25, "A warning names a worker that takes this share more of a step's time than the "
        "median one, for several logs in a row.", topic="workers", role=EXECUTION, least=0)
    stall_timeout: int = _field(20, "Seconds without a message or a step of a worker after which the others give it "
        "up.", topic="workers", role=EXECUTION, least=5)
    preemption_deadline: int = _field(60, "Seconds that a stop may take, saving included, before the process ends "
        "itself.", topic="workers", role=EXECUTION, least=1)

    run_dir: str = _field("", "The directory of the run (default: runs/SOURCE-MODEL-HASH).", topic="run",
        role=EXECUTION)
    mirror: str = _field("", "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or a directory: keep a verified copy of the run "
        "directory there, and go on from it where it is newer.", topic="run", role=EXECUTION)
    mirror_timeout: int = _field(120, "Seconds that the end of a run waits for its mirror to be complete; a stop waits "
        "no longer than --preemption_deadline.", topic="run", role=EXECUTION, least=0)
    notify: str = _field("", "A web address or a shell command that is told how a launch ended, as JSON: in the body "
        "of a POST, or on stdin.", topic="run", role=EXECUTION)
    repeat: int = _field(1, "The number of runs, one after another, with the seeds --seed, --seed + 1, ..., each in "
        "its own directory seed-N in --run_dir; ends with their mean and deviation.", topic="run", role=EXECUTION,
        least=1, most=1000)
    resume: str = _field("auto", "auto: resume if there are checkpoints, else start; never: refuse to resume; "
        "required: refuse to start.", topic="run", role=EXECUTION, choices=("auto", "never", "required"))
    same_hardware: str = _field("told", "A resume on hardware that may compute other bits. told: it goes on, and the "
        "record says from which step; required: it is refused.", topic="run", role=EXECUTION,
        choices=("told", "required"))
    checkpoint_every: int = _field(500, "Steps between checkpoints (0: only the last).", topic="run", role=EXECUTION,
        least=0)
    on_divergence: str = _field("stop", "After a loss or gradient that is not finite. stop: the run ends; rollback: it "
        "goes back to the last checkpoint of --checkpoint_every, and on with later examples.", topic="run",
        role=EXECUTION, choices=("stop", "rollback"))
    max_rollbacks: int = _field(3, "Rollbacks of a run in all; at the next divergence it ends.", topic="run",
        role=EXECUTION, least=1)
    recheck_every: int = _field(0, "Steps between rechecks, in which each tower takes part: shards are computed a "
        "second time on another tower, and a difference of one bit stops the run (0: never).", topic="run",
        role=EXECUTION, least=0)
    keep_checkpoints: int = _field(3, "Newest checkpoints kept, besides the best.", topic="run", role=EXECUTION,
        least=1)
    eval_every: int = _field(500, "Steps between evaluations on validation (0: never).", topic="run", role=EXECUTION,
        least=0)
    early_stop: str = _field("", "METRIC:PATIENCE; end the run after this many evaluations in a row without a better "
        "accuracy or loss on validation.", topic="run", role=LENGTH)
    best_by: str = _field("accuracy", "The score on validation by which a checkpoint is the best, and is kept.",
        topic="run", role=EXECUTION, choices=tuple(BETTER))
    eval_batch: int = _field(500, "Examples in a tower's batch of an evaluation.", topic="run", role=EXECUTION, least=1)
    log_every: int = _field(100, "Steps between progress lines and scalars (0: never).", topic="run", role=EXECUTION,
        least=0)
    summary_every: int = _field(0, "Steps between histograms of gradients (0: never). Histograms of parameters come "
        "with them, with each evaluation, and at the end.", topic="run", role=EXECUTION, least=0)
    quiet: bool = _field(False, "Print only the result.", topic="run", role=EXECUTION)
    verbose: bool = _field(False, "Print details too: checkpoints, the time by phase, rates and norms.", topic="run",
        role=EXECUTION)
    profile: str = _field("", "START:END; write TensorFlow's profiler trace of steps START to END - 1.", topic="run",
        role=EXECUTION)
    dry_run: bool = _field(False, "Print the configuration and the examples and rates of the next steps, then exit.",
        topic="run", role=EXECUTION)
    # fmt: on

    def __post_init__(self) -> None:
        """Gives --image_size its one spelling, where it has one: 224x224 is 224."""
        with contextlib.suppress(UsageError):
            object.__setattr__(self, "image_size", str(flag_values.image_size(str(self.image_size))))

    @functools.cached_property
    def size(self) -> ImageSize:
        """--image_size, parsed; (0, 0) for the source's own."""
        return flag_values.image_size(self.image_size)

    @functools.cached_property
    def rates(self) -> tuple[tuple[int, float], ...]:
        """--piecewise, parsed: the rate from each step on."""
        return flag_values.rates(self.piecewise)

    @functools.cached_property
    def average_window(self) -> Steps:
        """--average, parsed: the steps over which the parameters are averaged."""
        return flag_values.steps("average", self.average)

    @functools.cached_property
    def stop_rule(self) -> EarlyStop | None:
        """--early_stop, parsed; None without it."""
        return flag_values.early_stop(self.early_stop)

    @functools.cached_property
    def profile_window(self) -> Steps:
        """--profile, parsed: the steps that are traced."""
        return flag_values.steps("profile", self.profile)

    @functools.cached_property
    def frozen(self) -> re.Pattern[str] | None:
        """--freeze, compiled; None without it."""
        return flag_values.pattern("freeze", self.freeze) if self.freeze else None

    @functools.cached_property
    def devices(self) -> tuple[Device, ...]:
        """--tower_devices, parsed."""
        return flag_values.devices(self.tower_devices)

    @functools.cached_property
    def normalization(self) -> Normalization:
        """--normalize, parsed."""
        return flag_values.normalization(self.normalize)

    @functools.cached_property
    def augmentation(self) -> tuple[Operation, ...]:
        """--augment, parsed."""
        return parse(self.augment)

    def validate(self) -> None:
        """Raises UsageError for the first value that breaks a rule. Touches no device and no disk.

        Names of sources and models are checked against their registries in runs/settings.py.
        """
        for field in dataclasses.fields(self):
            _check_value(field, getattr(self, field.name))
        for parsed in _PARSED:
            getattr(self, parsed)
        if self.grad_shards and self.global_batch % self.grad_shards:
            raise UsageError(
                f"global_batch={self.global_batch} does not split into {self.grad_shards} shards; "
                f"use a multiple of {self.grad_shards}, or other --grad_shards or --towers"
            )
        shards = self.grad_shards or 1
        if mixes(self.augmentation) and self.global_batch % (2 * shards):
            raise UsageError(
                f"augment={self.augment} mixes pairs of a shard's examples, and global_batch={self.global_batch} in "
                f"{shards} shards makes no pairs; use a --global_batch that is a multiple of {2 * shards}"
            )
        if (self.schedule == "piecewise") != bool(self.piecewise):
            raise UsageError("--schedule=piecewise and --piecewise=STEP:RATE,... go together; give both or neither")
        if self.final_rate and self.schedule not in ("cosine", "linear", "onecycle"):
            raise UsageError(
                f"final_rate={self.final_rate} is of --schedule=cosine, linear or onecycle, and the schedule is "
                f"{self.schedule}; leave it out, or use one of them"
            )
        if self.final_rate > self.learning_rate:
            raise UsageError(
                f"final_rate={self.final_rate} is above learning_rate={self.learning_rate}, from which the rate falls; "
                "lower --final_rate"
            )
        end = self.decay_steps or self.steps
        if self.schedule not in ("constant", "piecewise") and self.warmup_steps >= end:
            raise UsageError(
                f"warmup_steps={self.warmup_steps} leaves no step for the schedule, which ends at step {end}; "
                "lower --warmup_steps or raise --decay_steps"
            )
        if self.augment_steps and not self.augment:
            raise UsageError(
                f"augment_steps={self.augment_steps} needs --augment, which is not given; give both, or leave it out"
            )
        if self.init_sha256 and not self.init_from:
            raise UsageError("--init_sha256 needs --init_from, which is not given; give both, or leave it out")
        if self.early_stop and not self.eval_every:
            raise UsageError(f"early_stop={self.early_stop} needs evaluations; give --eval_every, or leave it out")
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
        """The fields that decide the numbers of a run, and their values."""
        return self.role(MATHEMATICS, KEPT)

    def default_run_dir(self) -> Path:
        """The path runs/SOURCE-MODEL-HASH. It depends on the mathematics alone, so one command always finds its run."""
        fields = self.__dataclass_fields__
        mathematics = self.mathematics().items()
        counted = {name: value for name, value in mathematics if name not in _LATER or value != fields[name].default}
        if self.size.height == self.size.width:
            counted["image_size"] = self.size.height  # a number, as before there were rectangles
        recipe = repr(sorted(counted.items())).encode()
        words = (self.source, self.model, hashlib.sha256(recipe).hexdigest()[:8])
        return Path("runs") / "-".join(re.sub(r"[^\w.]+", "_", word).strip("_") for word in words)

    def to_flags(self) -> str:
        """An absl flagfile that repeats the run in another --run_dir."""
        recorded = [name for name in self.__dataclass_fields__ if name not in OF_ONE_START]
        return "".join(f"--{name}={format_value(getattr(self, name))}\n" for name in recorded)

    def to_arguments(self) -> list[str]:
        """The arguments of a command line that gives this configuration."""
        return [f"--{name}={format_value(getattr(self, name))}" for name in self.__dataclass_fields__]


def format_value(value: Any) -> str:
    """A field's value as its flag takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_value(name: str, text: str) -> Any:
    """The value of a field, from the text that its flag takes. Raises ValueError if it is not of the field's type."""
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
    """The changes of mathematics between a recorded and an asked configuration, as 'name: recorded -> asked'."""
    before, after = recorded.mathematics(), asked.mathematics()
    return [f"{name}: {before[name]} -> {after[name]}" for name in before if before[name] != after[name]]


def keep_recorded(recorded: Config, asked: Config) -> Config:
    """`asked`, with the recorded value in every KEPT field that it leaves at 0 or ""."""
    kept = {name: recorded.role(KEPT)[name] for name, value in asked.role(KEPT).items() if not value}
    return dataclasses.replace(asked, **kept)


def resolve(config: Config, num_towers: int) -> Config:
    """A first start's configuration, with a value chosen for every KEPT field that is 0."""
    chosen: dict[str, Any] = {
        "grad_shards": config.grad_shards or num_towers,
        "decay_steps": config.decay_steps or config.steps,
        "intra_op_threads": config.intra_op_threads or len(os.sched_getaffinity(0)),
    }
    return dataclasses.replace(config, **chosen)
