import hashlib
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from saved_states import ABOUT, assert_holds, files, flip, save, values

from pipeline.engine import state
from pipeline.errors import ExitCode, StorageError
from pipeline.runs import checkpoint_files
from pipeline.runs.checkpoints import Checkpoints

# --- what a checkpoint is ---


def test_what_is_saved_is_restored(tmp_path):
    restored = save(tmp_path, 10).newest()
    assert_holds(restored, 10)
    assert {name: value.dtype for name, value in restored.values.items()} == {
        name: value.dtype for name, value in values(10).items()
    }
    manifest = restored.manifest
    assert manifest.parameters_sha256 == state.parameters_sha256(values(10))
    assert manifest.state_sha256 == state.state_sha256(values(10), 10)
    assert {"config": manifest.config, "examples": manifest.examples} == ABOUT
    assert restored.passed_over == {}


@pytest.mark.parametrize("name", ["a[1]", "a*?", "{a,b}", "\u00e9 \u2028", "back\\slash"])
def test_a_directory_may_have_any_name(tmp_path, name):
    (tmp_path / name).mkdir()
    assert_holds(save(tmp_path / name, 10).newest(), 10)


def test_a_directory_that_cannot_be_listed_is_told(tmp_path):
    (tmp_path / "checkpoints").write_text("no directory")
    with pytest.raises(StorageError, match="checkpoints cannot be read or written: Not a directory"):
        Checkpoints(tmp_path / "checkpoints").steps()


def test_a_link_to_a_file_is_as_good_as_the_file(tmp_path):
    checkpoints = save(tmp_path / "here", 10)
    (tmp_path / "there").mkdir()
    for path in (tmp_path / "here").iterdir():
        moved = path.rename(tmp_path / "there" / path.name)
        path.symlink_to(moved)
    assert_holds(checkpoints.newest(), 10)


def test_a_manifest_of_an_older_version_has_no_hardware(tmp_path):
    checkpoints = save(tmp_path, 10)
    manifest = json.loads((tmp_path / "ckpt-10.manifest.json").read_text())
    del manifest["hardware"], manifest["sha256"]
    seal = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (tmp_path / "ckpt-10.manifest.json").write_text(json.dumps({**manifest, "sha256": seal}))
    assert checkpoints.verify(10).hardware == {}


def test_tensorflow_reads_it_by_names_that_say_what_they_are(tmp_path):
    save(tmp_path, 10)
    reader = tf.train.load_checkpoint(str(tmp_path / "ckpt-10"))
    assert set(reader.get_variable_to_shape_map()) == {*values(10), "global_step"}
    assert reader.get_tensor("global_step") == 10 and reader.get_tensor("global_step").dtype == np.int64
    kernel = "parameters/conv1/kernel"
    np.testing.assert_array_equal(reader.get_tensor(kernel), values(10)[kernel])


def test_the_files_are_named_by_their_step_and_nothing_else_is_left(tmp_path):
    save(tmp_path, 9, 10)
    parts = ("data-00000-of-00001", "index", "manifest.json")
    assert files(tmp_path) == sorted(f"ckpt-{step}.{part}" for step in (9, 10) for part in parts)
    sizes = [(tmp_path / f"ckpt-10.{part}").stat().st_size for part in parts[:2]]
    assert Checkpoints(tmp_path).manifest(10).num_bytes == sum(sizes)


@pytest.mark.parametrize("name", ["run", "a[1]"])
def test_a_large_state_lies_in_parts_each_of_which_is_verified(tmp_path, monkeypatch, name):
    one, several = tmp_path / "one", tmp_path / name
    save(one, 10)
    monkeypatch.setattr(checkpoint_files, "PART_BYTES", 2000)
    checkpoints = save(several, 10)
    parts = [f"ckpt-10.data-0000{i}-of-00002" for i in range(2)]
    assert files(several) == [*parts, "ckpt-10.index", "ckpt-10.manifest.json"]
    assert_holds(checkpoints.newest(), 10)
    mine, others = checkpoints.manifest(10), Checkpoints(one).manifest(10)
    assert (mine.parameters_sha256, mine.state_sha256) == (others.parameters_sha256, others.state_sha256)
    for part in parts:
        assert abs((several / part).stat().st_size - 2400) < 100
        flip(several / part, 1000)
        with pytest.raises(StorageError, match=f"{part} is damaged"):
            checkpoints.verify(10)
        flip(several / part, 1000)
    checkpoints.verify(10)


def test_whoever_lost_the_directory_while_it_wrote_changes_nothing_of_the_new_owners(tmp_path):
    def taken_over():
        raise StorageError("taken over")

    save(tmp_path, 10)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    earlier = Checkpoints(tmp_path, taken_over)
    for step in (10, 11):
        earlier.save(step, values(step + 1), ABOUT, lambda manifest, seconds: None)
        with pytest.raises(StorageError, match="taken over"):
            earlier.wait()
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path) if not name.startswith(".")} == before
    assert Checkpoints(tmp_path).steps() == [10]


def test_whoever_lost_the_directory_and_then_its_files_touches_nothing_of_what_the_new_owner_writes(tmp_path):
    def taken_over():
        raise StorageError("taken over")

    (tmp_path / ".writing-ckpt-12-1").mkdir()
    earlier = Checkpoints(tmp_path, taken_over)
    (tmp_path / f".writing-ckpt-11-{os.getpid()}").write_text("in the way, so that nothing can be written")
    earlier.save(11, values(11), ABOUT, lambda manifest, seconds: None)
    with pytest.raises(StorageError, match="taken over"):
        earlier.wait()
    assert (tmp_path / ".writing-ckpt-12-1").is_dir()


def test_steps_are_in_the_order_of_their_numbers(tmp_path):
    assert save(tmp_path, 9, 10, 100).steps() == [9, 10, 100]
    assert_holds(Checkpoints(tmp_path).newest(), 100)


def test_nothing_saved_is_nothing_restored(tmp_path):
    assert Checkpoints(tmp_path / "none").newest() is None
    assert Checkpoints(tmp_path / "none").steps() == []


def test_whoever_saves_is_told_when_it_is_whole(tmp_path):
    told = []
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(10, values(10), ABOUT, lambda manifest, seconds: told.append(Checkpoints(tmp_path).verify(10)))
    checkpoints.wait()
    assert [manifest.step for manifest in told] == [10]


def test_a_directory_that_cannot_be_written_is_an_error_at_the_next_call(tmp_path):
    (tmp_path / "taken").touch()
    checkpoints = Checkpoints(tmp_path / "taken")
    checkpoints.save(10, values(10), ABOUT, lambda manifest, seconds: None)
    with pytest.raises(
        StorageError, match=r"checkpoint of step 10 could not be written .*; free some space or"
    ) as raised:
        checkpoints.wait()
    assert raised.value.code == ExitCode.STORAGE
    checkpoints.wait()  # told once


# --- which stay ---


def test_the_newest_stay_and_those_asked_for(tmp_path):
    checkpoints = save(tmp_path, *range(1, 8))
    checkpoints.prune(newest=3, also={2, 6})
    assert checkpoints.steps() == [2, 5, 6, 7]
    assert {name.split(".")[0] for name in files(tmp_path)} == {"ckpt-2", "ckpt-5", "ckpt-6", "ckpt-7"}
    for step in checkpoints.steps():
        assert_holds(checkpoints.read(step), step)


def test_tidying_puts_the_damaged_aside_and_loses_nothing(tmp_path):
    checkpoints = save(tmp_path, 10, 20)
    contents = {name: (tmp_path / name).read_bytes() for name in files(tmp_path) if "-20." in name}
    checkpoints.tidy([20])
    assert checkpoints.steps() == [10]
    assert {f"damaged-{name}": content for name, content in contents.items()} == {
        name: (tmp_path / name).read_bytes() for name in files(tmp_path) if name.startswith("damaged-")
    }
    save(tmp_path, 20)
    assert_holds(Checkpoints(tmp_path).newest(), 20)


def test_tidying_puts_nothing_in_the_place_of_what_was_put_aside_before(tmp_path):
    checkpoints = save(tmp_path, 10)
    (tmp_path / "damaged-ckpt-10.index").write_text("of before")
    kept = {path.read_bytes() for path in tmp_path.iterdir()}
    checkpoints.tidy([10])
    assert {path.read_bytes() for path in tmp_path.iterdir()} == kept
    assert checkpoints.steps() == [] and all(name.startswith("damaged-") for name in checkpoints.leftovers())
    assert len(checkpoints.leftovers()) == 4
