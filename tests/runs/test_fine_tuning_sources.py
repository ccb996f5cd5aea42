"""What is taken from elsewhere at step 0; tests/processes/test_fine_tuning.py has whole runs."""

import keras
import numpy as np
import pytest
import small_run
from keras import layers

from pipeline.config import Config
from pipeline.engine import state
from pipeline.errors import BadDataError, UsageError
from pipeline.models.layers import PooledConvolution
from pipeline.runs import fine_tuning
from pipeline.runs.fine_tuning import Imported, Source, match, source_of


def imported(asked) -> Imported:
    """The state at step 0 of a run that is started from a source."""
    source = source_of(asked)
    assert source is not None
    return match(initial(), source)


def initial(model: str = "convolutional", seed: int = 1, **fields) -> state.Values:
    return small_run.assembly(model=model, seed=seed, **fields).initial()


def config(init_from, **fields) -> Config:
    return small_run.config(model="convolutional", init_from=str(init_from), **fields)


def source(arrays, in_order: bool = False) -> Source:
    return Source("somewhere", arrays, in_order, "12ab")


def of_model(values) -> list[str]:
    return [name for name in values if not name.startswith("slots/")]


def with_head(classes: int, seed: int = 2) -> state.Values:
    """The state of a model of other classes."""
    values = dict(initial(seed=seed))
    for name in list(values):
        if name.endswith("logits/kernel") or name.endswith("logits/bias"):
            values[name] = np.ones((*values[name].shape[:-1], classes), np.float32)
    return values


# --- which array belongs to which ---


def test_what_fits_is_taken_and_slots_stay_fresh():
    here, there = initial("models_for_tests:batch_norm"), initial("models_for_tests:batch_norm", seed=2)
    for name in there:
        there[name] = there[name] + np.float32(1)
    found = match(here, source({name: there[name] for name in of_model(there)}))
    assert found.taken == of_model(here) and any(name.startswith("statistics/") for name in found.taken)
    assert (found.fresh, found.unused, found.how) == ({}, [], "by name")
    assert list(found.values) == list(here)
    for name in here:
        np.testing.assert_array_equal(found.values[name], there[name] if name in found.taken else here[name])


def test_another_head_is_kept_fresh_and_told():
    here, there = initial(), with_head(7)
    found = match(here, source({name: there[name] for name in of_model(there)}))
    assert found.fresh == {
        "parameters/logits/kernel": "[1024, 10] here, [1024, 7] there",
        "parameters/logits/bias": "[10] here, [7] there",
    }
    assert found.unused == ["parameters/logits/kernel", "parameters/logits/bias"]
    assert len(found.taken) == 6
    np.testing.assert_array_equal(found.values["parameters/logits/kernel"], here["parameters/logits/kernel"])
    assert found.lines()[0] == "starts from somewhere, 12ab: 6 of 8 arrays by name"
    assert found.lines()[1] == "  kept fresh: parameters/logits/kernel ([1024, 10] here, [1024, 7] there)"
    assert found.lines()[-1] == "  not used: parameters/logits/bias"


def test_arrays_without_counterpart_are_told_on_both_sides():
    here, there = initial("models_for_tests:linear"), initial("models_for_tests:normalized", seed=2)
    there = {name: there[name] for name in of_model(there)}
    found = match(here, source(there))
    assert found.taken == ["parameters/logits/kernel"]
    assert found.unused == [name for name in there if name != "parameters/logits/kernel"]
    found = match(there, source({"parameters/logits/kernel": here["parameters/logits/kernel"]}))
    assert found.fresh["statistics/norm/moving_mean"] == "[784] here, none there"


def test_other_names_in_the_same_order_are_taken_by_order():
    here = initial()
    renamed = {f"parameters/layer_{i}": here[name] + np.float32(1) for i, name in enumerate(of_model(here))}
    found = match(here, source(renamed, in_order=True))
    assert (found.how, len(found.taken), found.unused) == ("by order", 8, [])
    np.testing.assert_array_equal(found.values["parameters/conv2/bias"], here["parameters/conv2/bias"] + 1)


def test_names_go_before_order_where_both_fit_as_well():
    here = initial("models_for_tests:batch_norm")
    backwards = {name: here[name] + np.float32(len(name)) for name in reversed(of_model(here))}
    found = match(here, source(backwards, in_order=True))
    assert found.how == "by name"
    assert all((found.values[name] == backwards[name]).all() for name in found.taken)


def test_an_order_of_another_length_is_no_order():
    here = initial()
    renamed = {f"parameters/layer_{i}": here[name] for i, name in enumerate(of_model(here)[:-1])}
    with pytest.raises(UsageError, match="nothing in somewhere"):
        match(here, source(renamed, in_order=True))


def test_nothing_that_fits_is_an_error_that_names_both_sides():
    with pytest.raises(UsageError) as told:
        match(initial("models_for_tests:linear"), source({"parameters/x": np.zeros(3, np.float32)}))
    assert str(told.value) == (
        "nothing in somewhere (parameters/x [3]) has a name and shape of this model "
        "(parameters/logits/kernel [784, 10]); give a source of the same --model, or no --init_from"
    )


# --- .keras files ---


def plain(path, num_classes: int = 10, middle: int = 1024):
    """A model as anyone might have saved it: the convolutional model's shapes, other names, compiled."""
    images = keras.Input((28, 28, 1))
    x = layers.MaxPooling2D(2)(layers.Conv2D(32, 5, padding="same", activation="relu")(images))
    x = layers.MaxPooling2D(2)(layers.Conv2D(64, 5, padding="same", activation="relu")(x))
    x = layers.Dense(middle, activation="relu")(layers.Flatten()(x))
    model = keras.Model(images, layers.Dense(num_classes, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(path)
    return model


@pytest.mark.parametrize("num_classes", [10, 3])
def test_a_plain_keras_model_of_the_same_shapes(num_classes, tmp_path):
    model = plain(tmp_path / "plain.keras", num_classes)
    found = imported(config(tmp_path / "plain.keras"))
    assert found.how == "by order" and len(found.taken) == (8 if num_classes == 10 else 6)
    for name, weights in zip(found.taken, model.get_weights(), strict=False):
        np.testing.assert_array_equal(found.values[name], weights)
    hashes = {f"parameters/{v.path}": v.numpy() for v in model.trainable_variables}
    assert found.source.parameters_sha256 == state.parameters_sha256(hashes)


def test_a_file_that_is_no_model_is_bad_data(tmp_path):
    (tmp_path / "broken.keras").write_bytes(b"no zip")
    with pytest.raises(
        BadDataError, match=r"init_from=.*broken.keras cannot be loaded by Keras \(\w+: .*; give a whole"
    ):
        imported(config(tmp_path / "broken.keras"))


def test_a_file_with_this_projects_own_layers(tmp_path):
    start = {"kernel_initializer": "glorot_uniform", "bias_initializer": "ones"}
    images = keras.Input((28, 28, 1))
    x = PooledConvolution(32, 5, name="conv1", **start)(images)
    keras.Model(images, x).save(tmp_path / "part.keras")
    found = imported(config(tmp_path / "part.keras"))
    assert found.taken == ["parameters/conv1/kernel", "parameters/conv1/bias"]
    assert (found.values["parameters/conv1/bias"] == 1).all()


# --- where it comes from, and that it stays the same ---


def test_the_source_is_the_one_of_the_first_start(tmp_path):
    plain(tmp_path / "plain.keras")
    found = imported(config(tmp_path / "plain.keras"))
    sha256 = found.source.parameters_sha256
    again = imported(config(tmp_path / "plain.keras", init_sha256=sha256))
    assert state.sha256(again.values) == state.sha256(found.values)
    plain(tmp_path / "plain.keras")
    with pytest.raises(
        UsageError, match=f"has parameters_sha256 .*, but this run was started from --init_sha256={sha256}"
    ):
        imported(config(tmp_path / "plain.keras", init_sha256=sha256))


def test_nothing_is_imported_unless_it_is_asked_for():
    assert source_of(small_run.config()) is None
    fine_tuning.check(small_run.config())


@pytest.mark.parametrize("name", ["missing", "missing.keras", "empty"])
def test_where_nothing_lies_is_said_before_anything_starts(name, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UsageError, match=rf"init_from=.*{name} is no .keras file and holds no run; give FILE.keras, or"
    ):
        fine_tuning.check(config(tmp_path / name))


def test_a_hash_without_a_source_is_a_mistake():
    with pytest.raises(UsageError, match="--init_sha256 needs --init_from, which is not given; give both"):
        small_run.config(init_sha256="12ab")
