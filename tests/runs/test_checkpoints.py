import hashlib
import json
import os
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf
from wiretap import Wiretap

from pipeline.engine import state
from pipeline.errors import ExitCode, StorageError
from pipeline.runs.checkpoints import Checkpoints

SPEC = {"image_shape": [28, 28, 1], "class_names": ["ant", "bee"], "num_train": 50}
ABOUT = {"config": {"seed": 1, "grad_shards": 2}, "examples": SPEC}


def values(step: int) -> state.Values:
    """A state that no two steps share."""
    return {
        "parameters/conv1/kernel": np.arange(600, dtype=np.float32).reshape(20, 30) + step,
        "slots/m/conv1/kernel": np.full([20, 30], step, np.float32),
        "loss_scale/good_steps": np.int64(step),
    }


def save(directory, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(directory)
    for step in steps:
        checkpoints.save(step, values(step), ABOUT, lambda manifest, seconds: None)
    checkpoints.wait()
    return checkpoints


def assert_holds(restored, step: int) -> None:
    assert restored.manifest.step == step
    assert state.state_sha256(restored.values, step) == state.state_sha256(values(step), step)


def files(directory) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


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


# --- killed at any moment ---


@pytest.mark.parametrize("before", [(), (5,), (5, 7)])
def test_a_kill_at_any_moment_of_a_save_leaves_the_checkpoint_whole_or_none(tmp_path, before):
    live = tmp_path / "live"
    live.mkdir()
    save(live, *before)
    tap = Wiretap(live, tmp_path / "killed")
    with tap.listening():
        save(live, 10)
    found = [killed_and_resumed(copy, before) for copy in tap.snapshots]
    assert found == sorted(found) and set(found) == {max(before, default=0), 10}
    assert len(found) > 5


def killed_and_resumed(directory, before) -> int:
    """The step that is restored after a kill (0: none); saves step 10 once more, as the resumed run would."""
    checkpoints = Checkpoints(directory)
    restored = checkpoints.newest()
    step = restored.manifest.step if restored else 0
    assert step in checkpoints.steps() or not checkpoints.steps()
    if restored:
        assert_holds(restored, step)
        assert restored.passed_over == {}
    checkpoints.tidy(restored.passed_over if restored else ())
    save(directory, 10)
    assert Checkpoints(directory).steps() == [*before, 10]
    assert_holds(Checkpoints(directory).newest(), 10)
    assert not [name for name in files(directory) if not name.startswith("ckpt-")]
    return step


def test_a_kill_at_any_moment_of_pruning_leaves_those_that_stay(tmp_path):
    live = tmp_path / "live"
    save(live, 1, 2, 3, 4, 5)
    tap = Wiretap(live, tmp_path / "killed")
    with tap.listening():
        Checkpoints(live).prune(newest=2, also={2})
    for copy in tap.snapshots:
        for step in (2, 4, 5):
            assert_holds(Checkpoints(copy).read(step), step)
        for manifest in copy.glob("*.manifest.json"):  # whatever has one is whole
            Checkpoints(copy).verify(int(manifest.name.split(".")[0].removeprefix("ckpt-")))
        Checkpoints(copy).prune(newest=2, also={2})
        assert Checkpoints(copy).steps() == [2, 4, 5]
    assert len(tap.snapshots) == 7  # two steps of three files, and the end


def test_a_kill_at_any_moment_of_tidying_keeps_the_good_one(tmp_path):
    live = tmp_path / "live"
    save(live, 5, 10, 20)
    flip(live / "ckpt-20.index", 7)
    flip(live / "ckpt-10.index", 7)
    (live / ".writing-ckpt-30-1").mkdir()
    (live / ".writing-ckpt-30-1" / "ckpt-30.manifest.json").touch()
    (live / "ckpt-30.index").touch()
    tap = Wiretap(live, tmp_path / "killed")
    with tap.listening():
        Checkpoints(live).tidy([20, 10])
    for copy in tap.snapshots:
        restored = Checkpoints(copy).newest()
        assert_holds(restored, 5)
        Checkpoints(copy).tidy(restored.passed_over)
        assert Checkpoints(copy).steps() == [5]
        assert not (copy / "ckpt-30.index").exists()
    assert len(tap.snapshots) > 6


# --- damaged ---


def flip(path, position: int) -> None:
    """Turns one bit over."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << position % 8
    path.write_bytes(content)


def tear(path) -> None:
    """Cuts the second half off."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def rename(directory, old: int, new: int) -> None:
    for path in directory.glob(f"ckpt-{old}.*"):
        path.rename(directory / path.name.replace(str(old), str(new), 1))


def foreign(directory, step: int) -> None:
    """Another program's checkpoint of the same name."""
    for path in directory.glob(f"ckpt-{step}.*"):
        path.unlink()
    tf.train.Checkpoint(x=tf.Variable(1.0)).write(str(directory / f"ckpt-{step}"))


def with_a_foreign_manifest(directory, step: int) -> None:
    (directory / f"ckpt-{step}.manifest.json").write_text('{"name": "web app", "icons": []}')


def with_anothers_manifest(directory, step: int) -> None:
    shutil.copy(directory / "ckpt-10.manifest.json", directory / f"ckpt-{step}.manifest.json")


def with_an_edited_manifest(directory, step: int) -> None:
    path = directory / f"ckpt-{step}.manifest.json"
    manifest = json.loads(path.read_text())
    manifest["examples"]["num_train"] = 60
    path.write_text(json.dumps(manifest))


def resealed(directory, number: int, /, **changes) -> None:
    """A manifest with other fields, and the right hash of itself."""
    path = directory / f"ckpt-{number}.manifest.json"
    fields = {name: value for name, value in json.loads(path.read_text()).items() if name != "sha256"} | changes
    seal = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({**fields, "sha256": seal}))


def without_data(directory) -> None:
    """A manifest that leaves the data file out, beside a data file of another step."""
    kept = json.loads((directory / MANIFEST).read_text())["files"]
    resealed(directory, 20, files={INDEX: kept[INDEX]})
    shutil.copy(directory / "ckpt-10.data-00000-of-00001", directory / DATA)


def naming_a_path_outside(directory) -> None:
    kept = json.loads((directory / MANIFEST).read_text())["files"]
    (directory.parent / "elsewhere").write_bytes((directory / DATA).read_bytes())
    resealed(directory, 20, files={INDEX: kept[INDEX], "../elsewhere": kept[DATA]})


def replaced(path, make) -> None:
    path.unlink()
    make(path)


DATA, INDEX, MANIFEST = "ckpt-20.data-00000-of-00001", "ckpt-20.index", "ckpt-20.manifest.json"

DAMAGES = {
    "torn data": (lambda d: tear(d / DATA), f"{DATA} is damaged"),
    "torn index": (lambda d: tear(d / INDEX), f"{INDEX} is damaged"),
    "torn manifest": (lambda d: tear(d / MANIFEST), f"{MANIFEST} is damaged or not a manifest"),
    "empty data": (lambda d: (d / DATA).write_bytes(b""), f"{DATA} is damaged: 0 bytes"),
    "empty manifest": (lambda d: (d / MANIFEST).write_bytes(b""), f"{MANIFEST} is damaged or not a manifest"),
    "flipped data": (lambda d: flip(d / DATA, 100), f"{DATA} is damaged"),
    "no data": (lambda d: (d / DATA).unlink(), f"ckpt-20 is not whole: .*{DATA}"),
    "no index": (lambda d: (d / INDEX).unlink(), f"ckpt-20 is not whole: .*{INDEX}"),
    "no manifest": (lambda d: (d / MANIFEST).unlink(), f"ckpt-20 is not whole: .*{MANIFEST} is missing"),
    "foreign": (lambda d: foreign(d, 20), "ckpt-20 is not whole"),
    "foreign manifest": (lambda d: with_a_foreign_manifest(d, 20), f"{MANIFEST} is damaged or not a manifest"),
    "another's manifest": (lambda d: with_anothers_manifest(d, 20), f"{MANIFEST} is of another checkpoint"),
    "edited manifest": (lambda d: with_an_edited_manifest(d, 20), f"{MANIFEST} is damaged or not a manifest"),
    "deeply nested manifest": (lambda d: (d / MANIFEST).write_text("[" * 60000), "nested too deeply|not a manifest"),
    "manifest with a text for its step": (lambda d: resealed(d, 20, step="20"), "a field is of another type"),
    "manifest with a list of files": (lambda d: resealed(d, 20, files=[DATA, INDEX]), "a field is of another type"),
    "manifest with sizes of text": (
        lambda d: resealed(d, 20, files={INDEX: {"bytes": "1", "sha256": ""}, DATA: {"bytes": 1, "sha256": ""}}),
        f"does not say the bytes and the sha256 of {INDEX}",
    ),
    "manifest saved at no time": (lambda d: resealed(d, 20, saved=1e308), "a field is of another type"),
    "manifest without a shape": (
        lambda d: resealed(d, 20, examples={**SPEC, "image_shape": None}),
        "it does not say what the examples were",
    ),
    "manifest with a class that is no name": (
        lambda d: resealed(d, 20, examples={**SPEC, "class_names": ["ant", 1]}),
        "it does not say what the examples were",
    ),
    "manifest without a number of examples": (
        lambda d: resealed(d, 20, examples={"image_shape": [28, 28, 1], "class_names": ["ant", "bee"]}),
        "it does not say what the examples were",
    ),
    "manifest without shards": (lambda d: resealed(d, 20, config={"seed": 1}), "or the number of shards"),
    "manifest with a field too many": (lambda d: resealed(d, 20, more=1), "damaged or not a manifest"),
    "manifest without its data": (without_data, f"it names {INDEX}, which is no whole checkpoint"),
    "manifest with a path outside": (naming_a_path_outside, "which is no whole checkpoint"),
    "pipe for a file": (lambda d: replaced(d / DATA, os.mkfifo), f"{DATA}: it is no regular file"),
    "pipe for the manifest": (lambda d: replaced(d / MANIFEST, os.mkfifo), "cannot be read: it is no regular file"),
    "endless device": (lambda d: replaced(d / DATA, lambda p: p.symlink_to("/dev/zero")), "no regular file"),
    "much larger file": (lambda d: os.truncate(d / DATA, 1 << 40), f"{DATA} is damaged: {1 << 40} bytes"),
    "directory for a file": (lambda d: (d / DATA).unlink() or (d / DATA).mkdir(), f"ckpt-20 is not whole: .*{DATA}"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_newest_that_is_good_is_restored_and_the_others_are_named(tmp_path, damage):
    spoil, why = DAMAGES[damage]
    save(tmp_path, 10, 20)
    spoil(tmp_path)
    restored = Checkpoints(tmp_path).newest()
    assert_holds(restored, 10)
    assert list(restored.passed_over) == [20]
    with pytest.raises(StorageError, match=why):
        raise StorageError(restored.passed_over[20])


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_none_is_good_it_is_an_error_and_never_a_start_from_scratch(tmp_path, damage):
    spoil, why = DAMAGES[damage]
    save(tmp_path, 10, 20)
    spoil(tmp_path)
    tear(tmp_path / "ckpt-10.index")
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in files(tmp_path)}
    with pytest.raises(
        StorageError, match=f"no checkpoint in .* can be restored .*{why}.*; restore the files"
    ) as raised:
        Checkpoints(tmp_path).newest()
    assert "ckpt-10.index is damaged" in str(raised.value)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in files(tmp_path)} == before


def test_no_flipped_bit_goes_unseen(tmp_path):
    save(tmp_path, 10, 20)
    draws = random.Random(1)
    for name in (DATA, INDEX, MANIFEST):
        path = tmp_path / name
        good = path.read_bytes()
        for _ in range(40):
            flip(path, draws.randrange(len(good)))
            with pytest.raises(StorageError):
                Checkpoints(tmp_path).read(20)
            path.write_bytes(good)
    assert_holds(Checkpoints(tmp_path).read(20), 20)


def test_a_renamed_checkpoint_is_none(tmp_path):
    save(tmp_path, 10, 20)
    rename(tmp_path, 20, 30)
    restored = Checkpoints(tmp_path).newest()
    assert_holds(restored, 10)
    assert "ckpt-30.manifest.json is of another checkpoint (step 20); it was renamed" in restored.passed_over[30]


def test_whoever_restores_may_refuse_one(tmp_path):
    def even_tens(restored):
        if restored.manifest.step % 20:
            raise StorageError(f"step {restored.manifest.step} does not fit")
        return restored

    restored = save(tmp_path, 10, 20, 30).newest(even_tens)
    assert_holds(restored, 20)
    assert restored.passed_over == {30: "step 30 does not fit"}


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
    (tmp_path / f"damaged-{INDEX.replace('20', '10')}").write_text("of before")
    kept = {path.read_bytes() for path in tmp_path.iterdir()}
    checkpoints.tidy([10])
    assert {path.read_bytes() for path in tmp_path.iterdir()} == kept
    assert checkpoints.steps() == [] and all(name.startswith("damaged-") for name in checkpoints.leftovers())
    assert len(checkpoints.leftovers()) == 4
