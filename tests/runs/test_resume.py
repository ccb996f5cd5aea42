import dataclasses
import os
import re

import numpy as np
import pytest
from small_run import assembly, topology

from pipeline.config import Config
from pipeline.engine.topology import Topology
from pipeline.errors import BadDataError, StorageError, UsageError
from pipeline.runs import resume, settings
from pipeline.runs.checkpoints import Manifest, Restored

FIRST = Config(run_dir="R", global_batch=24, steps=100, grad_shards=4, decay_steps=100, intra_op_threads=2)


def settle(towers: int = 2, recorded: Config | None = FIRST, checkpoints=(50,), **fields) -> Config:
    asked = dataclasses.replace(Config(run_dir="R", global_batch=24, steps=100), **fields)
    return settings.settle(asked, recorded, list(checkpoints), topology(towers))


# --- a first start ---


def test_a_first_start_chooses_what_fits():
    settled = settle(towers=3, recorded=None, checkpoints=(), steps=70)
    assert (settled.grad_shards, settled.decay_steps) == (3, 70)
    assert settled.intra_op_threads == len(os.sched_getaffinity(0))


def test_a_first_start_keeps_what_is_asked_for():
    asked = {"grad_shards": 12, "decay_steps": 40, "intra_op_threads": 1}
    settled = settle(towers=3, recorded=None, checkpoints=(), **asked)
    assert {name: getattr(settled, name) for name in asked} == asked


# --- a resume ---


def test_a_resume_keeps_what_the_first_start_chose():
    settled = settle(towers=1, steps=500)
    assert (settled.grad_shards, settled.decay_steps, settled.intra_op_threads) == (4, 100, 2)
    assert settled.steps == 500


@pytest.mark.parametrize(
    "changed",
    [
        {"variables": "cpu"},
        {"steps_per_loop": 3},
        {"log_every": 7},
        {"data_dir": "D"},
        {"steps": 900},
        {"best_by": "loss"},
        {"early_stop": "loss:2"},
    ],
)
def test_execution_and_length_may_differ(changed):
    settled = settle(**changed)
    assert {name: getattr(settled, name) for name in changed} == changed
    assert settled.mathematics() == FIRST.mathematics()


MATHEMATICS = {
    "source": "fake", "validation_fraction": 0.5, "image_size": "9x7", "augment": "flip", "model": "cnn",
    "precision": "bfloat16", "label_smoothing": 0.1, "global_batch": 48, "optimizer": "sgd", "learning_rate": 0.5,
    "schedule": "cosine", "warmup_steps": 3, "decay_steps": 77, "decay_rate": 0.3, "momentum": 0.8,
    "weight_decay": 0.1, "clip_norm": 2.0, "seed": 5, "grad_shards": 8, "intra_op_threads": 3,
    "all_reduce": "fast", "wire": "bfloat16", "augment_steps": 60, "average": "50:90",
    "init_from": "other", "init_sha256": "12ab", "record_image_key": "jpeg", "record_label_key": "class",
    "deterministic": False, "jit": True, "eval_crop": 0.875,
    "normalize": "0.5/0.25", "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-6, "final_rate": 1e-4, "freeze": "conv1/.*",
    "ema": 0.99, "multi_label": True, "class_weights": "balanced", "sampling": "balanced", "bias_rate": 64.0,
    "tta": "flip", "lookahead": "5:0.5", "muon_rate": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("name", MATHEMATICS)
def test_what_changes_the_numbers_is_refused(name):
    before, after = getattr(FIRST, name), MATHEMATICS[name]
    with pytest.raises(UsageError, match=rf"R was started with another configuration \({name}: {before} -> {after}\)"):
        settle(**{name: after})


def test_every_field_that_decides_the_numbers_is_in_the_table_above():
    assert {*MATHEMATICS, "class_names", "fake_data", "piecewise"} == set(FIRST.mathematics())


@pytest.mark.parametrize(
    ("name", "before", "after", "may"),
    [
        ("source", "folder:a", "folder:b", True),
        ("source", "folder:a", "tar:b/*", True),
        ("source", "idx:a", "idx:b", True),
        ("source", "idx:a", "folder:a", False),
        ("source", "tfds:a", "tfds:b", False),
        ("source", "digits:60", "digits:66", False),
        ("source", "folder:a", "digits", False),
        ("class_names", "a.txt", "b.txt", True),
        ("class_names", "a.txt", "", True),
        ("class_weights", "a.txt", "b.txt", True),
        ("class_weights", "a.txt", "balanced", False),
        ("class_weights", "a.txt", "", False),
        ("init_from", "a.keras", "b.keras", True),
        ("init_from", "a.keras", "", False),
        ("init_from", "", "b.keras", False),
    ],
)
def test_inputs_may_lie_at_another_place(name, before, after, may):
    """What lies there, a resume compares with its checkpoint."""
    first = dataclasses.replace(FIRST, **{name: before})
    if may:
        moved = settle(recorded=first, **{name: after})
        assert moved == dataclasses.replace(settle(recorded=first, **{name: before}), **{name: after})
    else:
        with pytest.raises(UsageError, match=re.escape(f"({name}: {before} -> {after})")):
            settle(recorded=first, **{name: after})


def test_all_that_differs_is_listed():
    with pytest.raises(UsageError, match=r"\(global_batch: 24 -> 48; learning_rate: 0.001 -> 0.5; seed: 1 -> 2\); use"):
        settle(global_batch=48, learning_rate=0.5, seed=2)


def test_a_changed_configuration_is_refused_before_the_first_checkpoint_too():
    with pytest.raises(UsageError, match="seed: 1 -> 2"):
        settle(checkpoints=(), seed=2)


def test_a_refusal_of_the_towers_names_the_counts_that_fit():
    with pytest.raises(UsageError, match="4 shards do not split over 3 towers; use 1, 2, 4 towers"):
        settle(towers=3)


# --- --resume ---


@pytest.mark.parametrize(
    "mode, recorded, checkpoints, error, message",
    [
        ("auto", None, (), None, ""),
        ("auto", FIRST, (), None, ""),
        ("auto", FIRST, (50,), None, ""),
        ("auto", None, (50,), StorageError, "R holds checkpoints but no config.flags; restore it"),
        ("never", None, (), None, ""),
        ("never", FIRST, (), None, ""),
        ("never", FIRST, (50,), UsageError, "resume=never, but R holds checkpoints; use another --run_dir"),
        ("required", None, (), UsageError, "resume=required, but R holds no checkpoint; check --run_dir"),
        ("required", FIRST, (), UsageError, "resume=required, but R holds no checkpoint"),
        ("required", FIRST, (50,), None, ""),
    ],
)
def test_resume_says_whether_to_start_or_to_go_on(mode, recorded, checkpoints, error, message):
    if error is None:
        assert settle(recorded=recorded, checkpoints=checkpoints, resume=mode).resume == mode
        return
    with pytest.raises(error, match=message):
        settle(recorded=recorded, checkpoints=checkpoints, resume=mode)


# --- --reshard ---


@pytest.mark.parametrize("asked, towers, settled", [(8, 2, 8), (2, 1, 2), (0, 3, 3), (0, 2, 2), (4, 4, 4)])
def test_reshard_changes_the_shards_and_nothing_else(asked, towers, settled):
    found = settle(towers=towers, reshard=True, grad_shards=asked)
    assert found.grad_shards == settled
    assert found.mathematics() == FIRST.mathematics() | {"grad_shards": settled}


def test_reshard_forgives_no_other_change():
    with pytest.raises(UsageError, match=r"\(seed: 1 -> 2\)"):
        settle(reshard=True, grad_shards=8, seed=2)


def test_reshard_needs_shards_that_split_too():
    with pytest.raises(UsageError, match="8 shards do not split over 3 towers"):
        settle(towers=3, reshard=True, grad_shards=8)
    with pytest.raises(UsageError, match="global_batch=24 does not split into 5 shards"):
        settle(towers=5, reshard=True, grad_shards=5)


# --- what a checkpoint holds ---


@pytest.fixture(scope="module")
def initial():
    return assembly(model="models_for_tests:linear", optimizer="adam").initial()


def restored(values, **examples) -> Restored:
    return Restored(Manifest(50, 0.0, "", "", {"ckpt-50.index": {}}, {}, examples), values, {})


def test_what_fits_comes_in_the_models_order(initial):
    backwards = {name: initial[name] for name in reversed(initial)}
    assert list(backwards) != list(initial)
    fitted = resume.fitted(restored(backwards), initial)
    assert list(fitted.values) == list(initial)
    assert all(fitted.values[name] is backwards[name] for name in initial)


KERNEL = "parameters/logits/kernel"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda v: v.pop("slots/m/logits/kernel"), r"slots/m/logits/kernel is absent, not float32\[784, 10\]"),
        (lambda v: v.update(strange=np.ones(2)), r"strange is float64\[2\], not absent"),
        (lambda v: v.update({KERNEL: v[KERNEL].T}), rf"{KERNEL} is float32\[10, 784\], not float32\[784, 10\]"),
        (lambda v: v.update({KERNEL: v[KERNEL].astype(np.float64)}), rf"{KERNEL} is float64\[784, 10\], not float32"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_whole(initial, change, message):
    values = dict(initial)
    change(values)
    with pytest.raises(StorageError, match=f"ckpt-50 is of another model: {message}"):
        resume.fitted(restored(values), initial)


def test_other_examples_are_refused():
    about = {"config": {}, "examples": {"num_train": 55, "image_shape": [28, 28, 1]}}
    resume.check_examples(restored({}, num_train=55, image_shape=[28, 28, 1]), about)
    with pytest.raises(BadDataError, match="examples changed since ckpt-50: num_train was 50 and is 55, so that"):
        resume.check_examples(restored({}, num_train=50, image_shape=[28, 28, 1]), about)


def test_examples_of_another_fingerprint_are_refused_by_their_kind():
    then, now = ({"num_train": 5, "fingerprint": f"train labels={labels}; train images=1"} for labels in "12")
    resume.check_examples(restored({}, **then), {"config": {}, "examples": then})
    with pytest.raises(BadDataError, match="examples changed since ckpt-50: other labels in train, so that other"):
        resume.check_examples(restored({}, **then), {"config": {}, "examples": now})


def test_a_manifest_without_a_fingerprint_is_accepted_for_the_same_source():
    now = {"num_train": 5, "fingerprint": "train labels=1"}
    then = restored({}, num_train=5)
    resume.check_examples(then, {"config": {}, "examples": now})
    then.manifest.config["source"] = "idx:./a/"  # as it was spelled before sources had one spelling
    resume.check_examples(then, {"config": {"source": "idx:a"}, "examples": now})
    said = "ckpt-50 was written before 0.2.0 and does not say what its examples were, so source=idx:b may hold others"
    with pytest.raises(BadDataError, match=said):
        resume.check_examples(then, {"config": {"source": "idx:b"}, "examples": now})


def test_an_assemblys_examples_are_those_of_its_own_checkpoint():
    about = assembly().about()
    resume.check_examples(restored({}, **about["examples"]), assembly(towers=4).about())
    assert about["examples"].pop("fingerprint").startswith("train numbers=")
    assert about["examples"] == {"image_shape": [28, 28, 1], "class_names": list("0123456789"), "num_train": 92}


def test_rechecks_are_refused_where_towers_may_differ_without_an_error():
    gpus = Topology((("GPU", 0), ("GPU", 1)))
    for where, fields, told in [
        (Topology((("GPU", 0), ("CPU", 0))), {}, "recheck_every=9 compares bits, and towers of two kinds (CPU, GPU)"),
        (gpus, {"deterministic": False}, "recheck_every=9 compares bits, which differ every time on GPUs with"),
    ]:
        with pytest.raises(UsageError, match=re.escape(told)):
            settings.settle(Config(recheck_every=9, **fields), None, [], where)
        settings.settle(Config(**fields), None, [], where)
    settings.settle(Config(recheck_every=9), None, [], gpus)
    settings.settle(Config(recheck_every=9, deterministic=False), None, [], topology(2))


def test_whoever_reads_a_run_brings_devices_and_maybe_data():
    assert settings.for_reading({}) == {"towers": 0, "tower_devices": ""}
    given = {"source": "folder:./data/", "towers": 2, "metrics": "f1"}
    assert settings.for_reading(given) == {"towers": 2, "tower_devices": "", "source": "folder:data", "metrics": "f1"}
    with pytest.raises(UsageError, match=r"^metrics: 'f2' is unknown"):
        settings.for_reading({"metrics": "f2"})
