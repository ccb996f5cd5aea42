"""Every flag of a run: one field each, in the order of the help."""

import dataclasses

from pipeline.config.fields import EXECUTION, KEPT, LENGTH, flag
from pipeline.text.flag_values import MOST_TOWERS

OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "lars", "lion", "muon")
SCHEDULES = ("constant", "cosine", "linear", "exponential", "piecewise", "onecycle")
BALANCED = "balanced"  # of --class_weights and --sampling
SAMPLINGS = ("once", BALANCED)
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")

# Fields that hold for one start only, and so are not recorded.
OF_ONE_START = (
    *("run_dir", "mirror", "track", "metrics_port", "metrics_host", "notify", "dry_run", "resume", "same_hardware"),
    *("reshard", "worker_addresses", "worker_index", "min_workers", "rejoin_timeout"),
    *("quiet", "verbose", "profile", "repeat"),
)

# Fields that decide no numbers, but what a step is followed by: all workers must do it at the same time.
ALIKE = ("steps", "early_stop", "best_by", "metrics", "on_divergence", "max_rollbacks", "recheck_every")

# Fields that came after 0.1: where they are not given, a run keeps the default directory that it had before.
LATER = (
    *("record_image_key", "record_label_key", "class_names", "deterministic", "jit", "eval_crop", "normalize"),
    *("beta_1", "beta_2", "epsilon", "freeze", "final_rate", "ema", "multi_label", "class_weights", "sampling"),
    *("bias_rate", "tta", "lookahead", "muon_rate"),
)


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of a run as they were given."""

    # fmt: off
    source: str = flag("digits", "{sources}.", topic="data")
    data_dir: str = flag("", "The directory of TFDS data sets and of caches (default: "
        "~/tensorflow_datasets and ~/.cache/pipeline).", topic="data", role=EXECUTION)
    data_cache_mib: int = flag(4096, "Most MiB that tfrecord and tar files of object storage take on this machine's "
        "disk, in --data_dir (0: none; the store is asked for each picture each time).", topic="data", role=EXECUTION,
        least=0, most=2**30)
    decoded_cache_mib: int = flag(512, "Most MiB of memory that decoded pictures take in each worker: those of a "
        "split that fits are decoded once, and stay (0: none stay).", topic="data", role=EXECUTION,
        least=0, most=2**30)
    fake_data: bool = flag(False, "Short for --source=fake.", topic="data")
    validation_fraction: float = flag(0.0833333, "Share of the training examples held out for validation (and for "
        "test) where the source has no such split (of 60,000: 5,000).", topic="data", least=0, most=0.9)
    image_size: str = flag("0", "The size of the images: the side of squares, or HEIGHTxWIDTH, as 224x160. Images of "
        "another size are cropped around the middle and resized (0: the source's own size).", topic="data")
    eval_crop: float = flag(1.0, "Evaluate, and predict, on the middle of each picture: this share of its height and "
        "width, resized (1: all of it).", topic="data", least=0.01, most=1)
    tta: str = flag("", "Test-time augmentation: evaluate, and predict, by the mean of the logits of several views of "
        "each picture. Comma list of flip (also its mirror image) and reflect_crop:PIXELS (also moved by so many "
        "pixels, up and left and down and right; these count half).", topic="data")
    record_image_key: str = flag("", "tfrecord and tfds: the feature that holds the picture (default: image/encoded "
        "or image; of tfds the only one).", topic="data")
    record_label_key: str = flag("", "tfrecord and tfds: the feature that holds the label (default: image/class/label "
        "or label; of tfds the one that it calls supervised, or the only one).", topic="data")
    class_names: str = flag("", "folder, csv, tfrecord and tar: a file with a class name a line, in the order of "
        "the labels (default: the names that the data has, sorted; else numbers).", topic="data")
    multi_label: bool = flag(False, "csv, tfrecord, tar, tfds and fake: an example has any number of labels, and the "
        "loss is binary cross-entropy, the mean over the classes.", topic="data")
    sampling: str = flag("once", "The order of training examples. once: every example once an epoch; balanced: every "
        "class equally often, so that examples of small classes come again more often.", topic="data",
        choices=SAMPLINGS)
    augment: str = flag("", "Comma list of resize_crop:AREA (a random part, at least this share of the picture, "
        "resized), shift:PIXELS, rotate:DEGREES, scale:FRACTION, shear:DEGREES, flip, alternating_flip, "
        "crop:PIXELS, elastic:PIXELS, reflect_crop:PIXELS, cutout:PIXELS, randaugment:MAGNITUDE:TIMES, "
        "trivialaugment, brightness:FRACTION, contrast:FRACTION, saturation:FRACTION, hue:SHARE, "
        "erasing:SHARE (of the images), mixup:ALPHA, cutmix:ALPHA.", topic="data")
    augment_steps: int = flag(0, "Steps with --augment. Later steps train on unchanged images, like those of the "
        "test split (0: all steps).", topic="data", least=0)

    model: str = flag("convolutional", "{models}, keras:NAME (an image network of keras.applications), or "
        "your own package.module:function.", topic="model")
    precision: str = flag("float32", "The type that the towers compute in; variables are float32. tf32: float32, "
        "whose products GPUs round to 10 bits of mantissa.", topic="model", choices=PRECISIONS)
    deterministic: bool = flag(True, "Let GPUs use only operations that give the same bits every time; "
        "--nodeterministic may be faster, and is not exact. CPUs always do.", topic="model")
    jit: bool = flag(False, "Let XLA compile the forward and backward pass of each shard.", topic="model")
    normalize: str = flag("", "MEAN/DEVIATION of the pixels in [0, 1], by which images are normalized: one number "
        "each, or one a channel, as 0.49,0.48,0.45/0.25,0.24,0.26; or {normalizations} (default: no normalization).",
        topic="model")
    label_smoothing: float = flag(0.0, "Share of the label spread over all classes.", topic="model", least=0,
        most=0.999)
    class_weights: str = flag("", "Weights of the classes in the training loss. balanced: the same sum for each class; "
        "else a file with a weight a line, in the order of the classes. The mean over the training examples is made 1 "
        "(default: no weights).", topic="model")
    init_from: str = flag("", "A run's directory (its newest checkpoint), a .keras file, or for keras:NAME an "
        ".h5 file of its weights: start from its parameters, as far as they fit, instead of fresh ones.", topic="model")
    init_sha256: str = flag("", "The parameters_sha256 that --init_from must have (default: the one at the first "
        "start; kept).", topic="model", role=KEPT)

    global_batch: int = flag(100, "Examples in a step, over all towers.", topic="optimization", least=1)
    steps: int = flag(1000, "The global step at which the run is finished.", topic="optimization", role=LENGTH,
        least=1)
    optimizer: str = flag("adam", "The update rule.", topic="optimization", choices=OPTIMIZERS)
    learning_rate: float = flag(1e-3, "The peak learning rate.", topic="optimization", least=0)
    schedule: str = flag("constant", "The course of the rate from its peak to --decay_steps.", topic="optimization",
        choices=SCHEDULES)
    warmup_steps: int = flag(0, "Steps of linear rise before the schedule.", topic="optimization", least=0)
    decay_steps: int = flag(0, "The step at which the schedule ends (0: --steps at the first start; kept).",
        topic="optimization", role=KEPT, least=0)
    decay_rate: float = flag(0.1, "exponential: the factor reached at --decay_steps.", topic="optimization", least=0)
    final_rate: float = flag(0.0, "cosine, linear, onecycle: the rate at --decay_steps and from there on.",
        topic="optimization", least=0)
    bias_rate: float = flag(1.0, "The rate of parameters of one dimension (biases, and scales and offsets of "
        "normalization), as a multiple of the others'.", topic="optimization", least=0)
    piecewise: str = flag("", "piecewise: STEP:RATE,STEP:RATE; the rate from each step on.", topic="optimization")
    momentum: float = flag(0.9, "Momentum of momentum, nesterov, lars and muon.", topic="optimization", least=0, most=1)
    muon_rate: float = flag(0.0, "The peak rate of muon for kernels of convolutions; --learning_rate is that of its "
        "other parameters (0: 0.02).", topic="optimization", least=0)
    beta_1: float = flag(0.9, "Share of the mean gradient that adam, adamw and lion keep.", topic="optimization",
        least=0, most=0.999999)
    beta_2: float = flag(0.0, "Share of the mean square that adam, adamw and rmsprop keep, and share of the mean "
        "gradient that lion keeps (0: 0.999; rmsprop 0.9; lion 0.99).", topic="optimization", least=0, most=0.999999)
    epsilon: float = flag(0.0, "Number that adam, adamw and rmsprop add to the root of the mean square, or under it "
        "(0: 1e-8; rmsprop 1e-7).", topic="optimization", least=0)
    freeze: str = flag("", "A regular expression: parameters whose whole path it matches, as conv1/kernel, are not "
        "trained.", topic="optimization")
    weight_decay: float = flag(0.0, "Decay of parameters of two or more dimensions: decoupled for adamw, part of the "
        "step of lion, lars and muon (kernels of convolutions alone), added to the gradient for the others.",
        topic="optimization", least=0)
    clip_norm: float = flag(0.0, "Largest global norm of the gradient (0: no limit).", topic="optimization", least=0)
    average: str = flag("", "START:END. After step END - 1, the parameters become their mean over the steps START to "
        "END - 1.", topic="optimization")
    ema: float = flag(0.0, "Share that the moving averages of the parameters keep at each step, such as 0.9998; "
        "evaluations and exports take the averages, training goes on from the parameters (0: no averages).",
        topic="optimization", least=0, most=0.999999)
    lookahead: str = flag("", "STEPS:KEPT or STEPS:KEPT:POWER. Every so many steps, slow copies of the parameters move "
        "to the parameters, but for the share KEPT of the way, and the parameters go on from there; with POWER, the "
        "share is KEPT times (step / --decay_steps) ** POWER.", topic="optimization")
    seed: int = flag(1, "The seed of all random numbers.", topic="optimization", least=0, most=2**63 - 1)

    towers: int = flag(0, "Towers (0: one per visible GPU, else one on the CPU).", topic="devices", role=EXECUTION,
        least=0, most=MOST_TOWERS)
    tower_devices: str = flag("", "The towers' devices by name, as gpu:2,gpu:3 (overrides --towers).",
        topic="devices", role=EXECUTION)
    logical_gpus: int = flag(0, "Logical GPUs that each GPU is split into, for several towers on one (0: it is not "
        "split).", topic="devices", role=EXECUTION, least=0, most=MOST_TOWERS)
    gpu_memory_mib: int = flag(4096, "Memory of a logical GPU, in MiB.", topic="devices", role=EXECUTION, least=1)
    shards_at_once: int = flag(0, "Shards of a tower that may be computed at the same time; fewer need less memory "
        "(0: all on a CPU, one on a GPU).", topic="devices", role=EXECUTION, least=0)
    variables: str = flag("auto", "The place of the variables. replicated: a replica on every tower; cpu: one copy "
        "on the CPU; first: one copy on the first tower; auto: replicated on GPUs, one copy on CPU towers, which share "
        "their memory.", topic="devices", role=EXECUTION, choices=("auto", "replicated", "cpu", "first"))
    grad_shards: int = flag(0, "The number of shards of the global batch, whose gradients are summed in one fixed "
        "tree (0: one per tower at the first start; kept).", topic="devices", role=KEPT, least=0)
    reshard: bool = flag(False, "Let a resume change --grad_shards; the bits differ from there on.", topic="devices",
        role=EXECUTION)
    intra_op_threads: int = flag(0, "Threads inside one operation; they decide the order of its sums (0: one per "
        "core at the first start; kept).", topic="devices", role=KEPT, least=0, most=1024)
    steps_per_loop: int = flag(10, "Steps inside one call of the training function.", topic="devices",
        role=EXECUTION, least=1)
    log_device_placement: bool = flag(False, "Let TensorFlow log the device of every operation.", topic="devices",
        role=EXECUTION)
    soft_device_placement: bool = flag(False, "Let TensorFlow move an operation that has no kernel on its tower's "
        "device, instead of stopping.", topic="devices", role=EXECUTION)

    worker_addresses: str = flag("", "Every worker's HOST:PORT, in order, as h1:9000,h2:9000 (default: from "
        "TF_CONFIG or Slurm, else a single worker).", topic="workers", role=EXECUTION)
    worker_index: int = flag(-1, "The index of this process in --worker_addresses (-1: from TF_CONFIG or Slurm).",
        topic="workers", role=EXECUTION, least=-1)
    all_reduce: str = flag("exact", "The way to add gradients over workers. exact: by one fixed tree, so the bits do "
        "not depend on the number of workers; fast: in one ring, so they do.",
        topic="workers", choices=("exact", "fast"))
    wire: str = flag("float32", "The type of gradients between workers; bfloat16 halves the traffic and rounds "
        "them.", topic="workers", choices=("float32", "bfloat16"))
    start_timeout: int = flag(300, "Seconds to wait for all workers at the start, and for the first step.",
        topic="workers", role=EXECUTION, least=1)
    min_workers: int = flag(0, "Where workers do not come back, go on with fewer, this number at least; take them in "
        "again when they do. Needs a supervisor for each, and a run directory that all share (0: all workers, always).",
        topic="workers", role=EXECUTION, least=0)
    rejoin_timeout: int = flag(60, "Seconds that --min_workers waits for workers that do not come, before the others "
        "go on without them.", topic="workers", role=EXECUTION, least=1)
    slow_share: float = flag(0.25, "A warning names a worker that takes this share more of a step's time than the "
        "median one, for several logs in a row.", topic="workers", role=EXECUTION, least=0)
    stall_timeout: int = flag(20, "Seconds without a message or a step of a worker after which the others give it "
        "up.", topic="workers", role=EXECUTION, least=5)
    preemption_deadline: int = flag(60, "Seconds that a stop may take, saving included, before the process ends "
        "itself.", topic="workers", role=EXECUTION, least=1)

    run_dir: str = flag("", "The directory of the run (default: runs/SOURCE-MODEL-HASH).", topic="run",
        role=EXECUTION)
    mirror: str = flag("", "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or a directory: keep a verified copy of the run "
        "directory there, and go on from it where it is newer.", topic="run", role=EXECUTION)
    mirror_timeout: int = flag(120, "Seconds that the end of a run waits for its mirror to be complete; a stop waits "
        "no longer than --preemption_deadline.", topic="run", role=EXECUTION, least=0)
    track: str = flag("", "Comma list of trackers that show the run while it trains: {trackers}.", topic="run",
        role=EXECUTION)
    metrics_port: int = flag(0, "The port at which Prometheus finds the figures of the launch, as /metrics (0: none).",
        topic="run", role=EXECUTION, least=0, most=65535)
    metrics_host: str = flag("127.0.0.1", "The address of this machine at which --metrics_port listens; 0.0.0.0 is all "
        "of them, and nobody is asked for a password.", topic="run", role=EXECUTION)
    notify: str = flag("", "A web address or a shell command that is told how a launch ended, as JSON: in the body "
        "of a POST, or on stdin.", topic="run", role=EXECUTION)
    repeat: int = flag(1, "The number of runs, one after another, with the seeds --seed, --seed + 1, ..., each in "
        "its own directory seed-N in --run_dir; ends with their mean and deviation.", topic="run", role=EXECUTION,
        least=1, most=1000)
    resume: str = flag("auto", "auto: resume if there are checkpoints, else start; never: refuse to resume; "
        "required: refuse to start.", topic="run", role=EXECUTION, choices=("auto", "never", "required"))
    same_hardware: str = flag("told", "A resume on hardware that may compute other bits. told: it goes on, and the "
        "record says from which step; required: it is refused.", topic="run", role=EXECUTION,
        choices=("told", "required"))
    checkpoint_every: int = flag(500, "Steps between checkpoints (0: only the last).", topic="run", role=EXECUTION,
        least=0)
    checkpoint_minutes: float = flag(0.0, "Minutes without a checkpoint after which one is saved, by the chief's "
        "clock, besides --checkpoint_every (0: only by steps).", topic="run", role=EXECUTION, least=0)
    on_divergence: str = flag("stop", "After a loss or gradient that is not finite. stop: the run ends; rollback: it "
        "goes back to the last checkpoint of --checkpoint_every, and on with later examples.", topic="run",
        role=EXECUTION, choices=("stop", "rollback"))
    max_rollbacks: int = flag(3, "Rollbacks of a run in all; at the next divergence it ends.", topic="run",
        role=EXECUTION, least=1)
    recheck_every: int = flag(0, "Steps between rechecks, in which each tower takes part: shards are computed a "
        "second time on another tower, and a difference of one bit stops the run (0: never).", topic="run",
        role=EXECUTION, least=0)
    keep_checkpoints: int = flag(3, "Newest checkpoints kept, besides the best.", topic="run", role=EXECUTION,
        least=1)
    eval_every: int = flag(500, "Steps between evaluations on validation (0: never).", topic="run", role=EXECUTION,
        least=0)
    early_stop: str = flag("", "METRIC:PATIENCE; end the run after this many evaluations in a row without a better "
        "accuracy, loss or one of --metrics on validation.", topic="run", role=LENGTH)
    best_by: str = flag("accuracy", "The metric on validation by which a checkpoint is the best, and is kept: "
        "accuracy, loss or one of --metrics.", topic="run", role=EXECUTION)
    metrics: str = flag("", "Comma list of what every evaluation gives beside loss and accuracy: topK (as top5), "
        "precision, recall, f1, auroc, average_precision, calibration_error; or all.", topic="run", role=EXECUTION)
    eval_batch: int = flag(0, "Examples in a tower's batch of an evaluation or prediction (0: 500; fewer of images of "
        "more than 56 x 56 pixels in colour, as 32 of 224 x 224).", topic="run", role=EXECUTION, least=0,
        example=500)
    log_every: int = flag(100, "Steps between progress lines and scalars (0: never).", topic="run", role=EXECUTION,
        least=0)
    summary_every: int = flag(0, "Steps between histograms of gradients (0: never). Histograms of parameters come "
        "with them, with each evaluation, and at the end.", topic="run", role=EXECUTION, least=0)
    quiet: bool = flag(False, "Print only the result.", topic="run", role=EXECUTION)
    verbose: bool = flag(False, "Print details too: checkpoints, the time by phase, rates and norms.", topic="run",
        role=EXECUTION)
    profile: str = flag("", "START:END; write TensorFlow's profiler trace of steps START to END - 1.", topic="run",
        role=EXECUTION)
    dry_run: bool = flag(False, "Print the configuration and the examples and rates of the next steps, then exit.",
        topic="run", role=EXECUTION)
    # fmt: on
