"""The rules of the configuration, what repeats it, and which part of it a resume may change."""

import dataclasses

import pytest

from pipeline import config as configuration
from pipeline.config import EXECUTION, KEPT, LENGTH, MATHEMATICS, Config
from pipeline.errors import StorageError, UsageError
from pipeline.runs.run_directory import RunDirectory
from pipeline.runs.settings import check

FIELDS = dataclasses.fields(Config)
TOPICS = {"data", "model", "optimization", "devices", "run", "workers"}


def refusal(**fields) -> str:
    with pytest.raises(UsageError) as told:
        check(Config(**fields))
    assert "\n" not in str(told.value)
    return str(told.value)


def test_the_defaults_are_valid():
    check(Config())


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_field_says_what_it_is(field):
    assert field.metadata["role"] in (MATHEMATICS, KEPT, LENGTH, EXECUTION)
    assert field.metadata["topic"] in TOPICS
    assert field.metadata["help"].endswith(".")
    if field.metadata["role"] == KEPT:
        assert not field.default, "0 asks for a value that fits"


BROKEN_RULES = [
    (
        {"min_workers": 1, "rejoin_timeout": 301},
        "rejoin_timeout=301 is longer than start_timeout=300, at which a start",
    ),
    ({"model": "dens"}, "model=dens is unknown; did you mean dense? known: "),
    ({"model": "a-b:c"}, "model=a-b:c is not of the form package.module:function; write"),
    ({"source": "mnist:1"}, "source=mnist:1 says '1' but mnist takes no argument; use --source=mnist"),
    ({"precision": "float8"}, "precision=float8 is unknown; did you mean float"),
    ({"image_size": "-1"}, "image_size=-1 is not a size of up to 99999 pixels; write it as --image_size=224, or as"),
    ({"image_size": "224x"}, "image_size=224x is not a size of"),
    ({"image_size": "0x8"}, "image_size=0x8 is not a size of"),
    ({"image_size": "100000"}, "image_size=100000 is not a size of"),
    ({"eval_crop": 0.0}, "eval_crop=0.0 is too small; the least is 0.01"),
    ({"global_batch": 0}, "global_batch=0 is too small; the least is 1"),
    ({"global_batch": 2**31}, "global_batch=2147483648 is too large; the most is 2147483647"),
    ({"seed": -1}, "seed=-1 is too small; the least is 0"),
    ({"seed": 2**63}, "seed=9223372036854775808 is too large; the most is 9223372036854775807"),
    ({"towers": 1025}, "towers=1025 is too large; the most is 1024"),
    ({"validation_fraction": 0.95}, "validation_fraction=0.95 is too large; the most is 0.9"),
    ({"learning_rate": float("inf")}, "learning_rate=inf is not a finite number of 32 bits; give one, as"),
    ({"weight_decay": float("nan")}, "weight_decay=nan is not a finite number of 32 bits; give one, as"),
    ({"clip_norm": -1e39}, "clip_norm=-1e+39 is not a finite number of 32 bits; give one, as"),
    ({"global_batch": 100, "grad_shards": 8}, "global_batch=100 does not split into 8 shards; use "),
    ({"piecewise": "0:0.1"}, "--schedule=piecewise and --piecewise=STEP:RATE,... go together; give both or neither"),
    ({"schedule": "piecewise", "piecewise": "5"}, "piecewise=5 is not a list of STEP:RATE; write it as 0:0.1,500:0.01"),
    ({"schedule": "piecewise", "piecewise": "5:1,5:2"}, "piecewise=5:1,5:2 needs rising steps from 0 on"),
    ({"schedule": "piecewise", "piecewise": "0:nan"}, "piecewise=0:nan needs rising steps from 0 on and rates of 0 or"),
    ({"schedule": "cosine", "warmup_steps": 1000}, "warmup_steps=1000 leaves no step for the schedule, which ends at"),
    ({"tower_devices": "gpu0"}, "tower_devices=gpu0: 'gpu0' is not a device; write cpu:N or gpu:N, as gpu:0,gpu:1"),
    ({"tower_devices": "gpu:1,GPU:1"}, "tower_devices=gpu:1,GPU:1 names a device twice; give each tower a device of"),
    ({"tower_devices": "cpu:1024"}, "tower_devices=cpu:1024 goes beyond cpu:1023; number CPU towers from cpu:0 on"),
    (
        {"augment": "mixup:1", "global_batch": 1},
        "augment=mixup:1 mixes pairs of a shard's examples, and global_batch=1 in 1 shards makes no pairs; use a --glo",
    ),
    (
        {"augment": "cutmix:1", "global_batch": 12, "grad_shards": 4},
        "augment=cutmix:1 mixes pairs of a shard's examples, and global_batch=12 in 4 shards makes no pairs; use a",
    ),
    ({"muon_rate": 0.1}, "muon_rate=0.1 is of --optimizer=muon, and the optimizer is adam; leave it out"),
    ({"optimizer": "muon", "learning_rate": 0.0}, "learning_rate=0 gives the schedule of --optimizer=muon no peak"),
    *(
        ({"lookahead": text}, f"lookahead={text} is not STEPS:KEPT or STEPS:KEPT:POWER")
        for text in ("5", "0:0.5", "5:1", "5:1.5", "5:-0.5", "5:0.5:", "5:0.5:10", "5:0.5:0.5", "x:0.5")
    ),
    *(
        ({"tta": text}, f"tta={text} is no list of views; write --tta=flip, --tta=reflect_crop:PIXELS, or both")
        for text in ("mirror", "flip,", ",flip", "flip,flip", "reflect_crop", "reflect_crop:0", "flipreflect_crop:1")
    ),
    ({"normalize": "0.5"}, "normalize=0.5 is not MEAN/DEVIATION; write numbers, as 0.5/0.25, or one of: imagenet"),
    ({"normalize": "0.5/0"}, "normalize=0.5/0 needs means from 0 to 1, of pixels in [0, 1], and deviations from 0.001"),
    ({"normalize": "127/64"}, "normalize=127/64 needs means from 0 to 1"),
    (
        {"freeze": "conv("},
        "freeze=conv( is not a regular expression: missing ), unterminated subpattern at",
    ),
    ({"beta_2": 1.0}, "beta_2=1.0 is too large; the most is 0.999999"),
    (
        {"final_rate": 1e-4},
        "final_rate=0.0001 is of --schedule=cosine, linear or onecycle, and the schedule is",
    ),
    (
        {"final_rate": 0.1, "schedule": "cosine"},
        "final_rate=0.1 is above learning_rate=0.001, from which the",
    ),
    (
        {"normalize": "imagenet", "model": "keras:VGG16"},
        "normalize=imagenet and the preprocessing of model=keras:VGG16",
    ),
    ({"model": "keras:VGG61"}, "model=keras:VGG61: keras.applications has no 'VGG61'; did you mean VGG1"),
    ({"early_stop": "acc:3"}, "early_stop=acc:3 is not METRIC:PATIENCE, a metric (accuracy or loss) and a number of"),
    ({"early_stop": "loss:0"}, "early_stop=loss:0 is not METRIC:PATIENCE"),
    ({"early_stop": "top0:3"}, "early_stop=top0:3 is not METRIC:PATIENCE"),
    ({"early_stop": "f1:3", "metrics": "auroc"}, "early_stop goes by f1, which evaluations do not compute; add f1 to"),
    ({"best_by": "top5"}, "best_by goes by top5, which evaluations do not compute; add top5 to --metrics, or use accu"),
    ({"best_by": "auc", "metrics": "all"}, "best_by=auc is unknown; did you mean auroc? known: accuracy, loss, topK,"),
    (
        {"best_by": "calibration_error", "metrics": "all", "multi_label": True, "source": "fake:100"},
        "metrics=calibration_error is of data with one label an example, and --multi_label data has several; use",
    ),
    ({"metrics": "f1,auc"}, "metrics: 'auc' is unknown; did you mean auroc? known: topK, precision,"),
    (
        {"metrics": "top5", "multi_label": True, "source": "fake:100"},
        "metrics=top5 is of data with one label an example, and --multi_label data has several; use precision",
    ),
    ({"early_stop": "loss:1", "eval_every": 0}, "early_stop=loss:1 needs evaluations; give --eval_every, or leave it"),
    ({"augment_steps": 9}, "augment_steps=9 needs --augment, which is not given; give both, or leave it out"),
    ({"augment": "shift"}, "augment: 'shift' needs a whole number of pixels"),
    ({"variables": "all"}, "variables=all is unknown; known: auto, replicated, cpu, first"),
    ({"quiet": True, "verbose": True}, "--quiet and --verbose exclude each other; give one of them"),
    ({"profile": "10"}, "profile=10 names no steps; write --profile=START:END with START below END"),
    ({"average": "7:7"}, "average=7:7 names no steps; write --average=START:END with START below END"),
    ({"average": "0:1001"}, "average=0:1001 ends after the last of steps=1000; lower its END, or raise --steps"),
    ({"profile": "20:10"}, "profile=20:10 names no steps; "),
    ({"profile": "990:1001"}, "profile=990:1001 ends after the last of steps=1000; lower its END, or raise --steps"),
    ({"resume": "yes"}, "resume=yes is unknown; known: auto, never, required"),
]


@pytest.mark.parametrize(("fields", "line"), BROKEN_RULES, ids=lambda value: str(value)[:40])
def test_a_broken_rule_is_named(fields, line):
    assert refusal(**fields).startswith(line)


def test_what_lists_mean():
    assert Config(piecewise="0:0.1,500:0.01").rates == ((0, 0.1), (500, 0.01))
    assert Config(tower_devices="gpu:2, CPU:0").devices == (("GPU", 2), ("CPU", 0))
    assert Config(profile="100:110").profile_window == (100, 110)
    assert Config().average_window == (0, 0)
    assert (Config().size, Config(image_size="32").size) == ((0, 0), (32, 32))
    assert Config(image_size="224x160").size == (224, 160)
    assert Config(image_size="032x32") == Config(image_size="32")


def other(field: dataclasses.Field):
    """A valid value that is not the default."""
    if field.metadata["choices"]:
        return field.metadata["choices"][-1]
    odd = {
        "image_size": "4x5",
        "model": "my.models:net",
        "source": "folder:/a b/c=d",
        "augment": "shift:2,flip",
        "warmup_steps": 3,
    }
    odd |= {
        "tower_devices": "cpu:1,gpu:0",
        "profile": "2:5",
        "average": "1:4",
        "early_stop": "loss:3",
        "best_by": "auroc",
        "metrics": "f1,auroc",
        "final_rate": 0.01,
        "normalize": "0.1,0.2,0.3/0.4",
        "tta": "flip,reflect_crop:2",
        "lookahead": "5:0.75:2",
        "quiet": False,
    }  # --quiet and --verbose exclude each other
    by_type = {bool: not field.default, int: 6, float: 0.1 + 0.2, str: "x y"}
    return odd.get(field.name, by_type[type(field.default)])


# piecewise needs its --schedule, which here is another.
OTHER = Config(**{field.name: other(field) for field in FIELDS if field.name != "piecewise"})


def test_config_flags_give_the_same_configuration_again(tmp_path):
    OTHER.validate()
    run = RunDirectory(tmp_path)
    run.record(OTHER)
    of_this_start = {name: getattr(Config(), name) for name in configuration.OF_ONE_START}
    assert run.recorded() == dataclasses.replace(OTHER, **of_this_start)


NONSENSE = [
    (b"--steps=ten\n", "'--steps=ten' has a value that cannot be read"),
    (b"--dry=true\n", "'--dry=true' is not a flag of this version"),
    (b"--fake_data=maybe\n", "'--fake_data=maybe' has a value that cannot be read"),
    (b"hello\n", "'hello' is not a flag of this version"),
    (b"--model=dens\n", "model=dens is unknown; did you mean dense?"),
    (b"--grad_shards=7\n", "global_batch=100 does not split into 7 shards"),
    (b"\xff\xfe", "'utf-8' codec can't decode"),
    (b"", "is empty"),
]


@pytest.mark.parametrize(("content", "line"), NONSENSE)
def test_a_config_file_edited_into_nonsense_is_a_storage_error(content, line, tmp_path):
    run = RunDirectory(tmp_path)
    run.config.write_bytes(content)
    with pytest.raises(StorageError) as told:
        run.recorded()
    assert str(run.config) in str(told.value) and line in str(told.value)
    assert str(told.value).endswith("bring the original back, or use another --run_dir")


def test_what_was_added_later_has_its_default(tmp_path):
    run = RunDirectory(tmp_path)
    run.config.write_text("# a comment\n\n--seed=7\n")
    assert run.recorded() == Config(seed=7)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_only_mathematics_makes_another_run(field):
    changed = dataclasses.replace(Config(), **{field.name: other(field)})
    decides = field.metadata["role"] in (MATHEMATICS, KEPT)
    assert bool(configuration.differences(Config(), changed)) == decides
    assert (changed.default_run_dir() != Config().default_run_dir()) == decides


def test_differences_name_both_values():
    assert configuration.differences(Config(), Config(seed=2, steps=5)) == ["seed: 1 -> 2"]


def test_a_zero_is_resolved_once_and_then_kept():
    first = configuration.resolve(Config(steps=300, intra_op_threads=2), num_towers=4)
    assert (first.grad_shards, first.decay_steps, first.intra_op_threads) == (4, 300, 2)
    again = configuration.keep_recorded(first, Config(steps=500, intra_op_threads=3))
    assert (again.grad_shards, again.decay_steps, again.steps) == (4, 300, 500)
    assert configuration.differences(first, again) == ["intra_op_threads: 2 -> 3"]


def test_the_default_run_directory_is_that_of_earlier_versions():
    """Fields that came later count only where they are given: the same command finds the run that it began."""
    assert str(Config().default_run_dir()) == "runs/digits-convolutional-ee6deacf"
    assert str(Config(image_size="32").default_run_dir()) == "runs/digits-convolutional-889c26f6"
    assert Config(class_names="x").default_run_dir() != Config().default_run_dir()


def test_the_default_run_directory_is_a_plain_name():
    path = Config(source="folder:/a b/../c", model="my.models:net").default_run_dir()
    assert path.parent.name == "runs" and path.name.startswith("folder_a_b_.._c-my.models_net-")
