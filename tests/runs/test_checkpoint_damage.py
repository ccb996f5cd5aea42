import hashlib
import json
import os
import random
import shutil

import pytest
import tensorflow as tf
from saved_states import SPEC, assert_holds, files, flip, save

from pipeline.errors import StorageError
from pipeline.runs.checkpoints import Checkpoints

# --- damaged ---


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
