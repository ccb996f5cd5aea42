import pytest

from pipeline.runs import manifests


def test_the_newest_step_is_the_highest_with_a_manifest(tmp_path):
    assert manifests.newest_step(tmp_path) == manifests.newest_step(tmp_path / "none") == -1
    for step in (9, 10):
        manifests.path(tmp_path, step).touch()
    for name in ("ckpt-11.index", "damaged-ckpt-12.manifest.json", "ckpt-13.manifest.json.part", ".writing-ckpt-14-1"):
        (tmp_path / name).touch()
    assert manifests.newest_step(tmp_path) == 10


EXAMPLES = {"image_shape": [2, 2, 1], "class_names": ["a"], "num_train": 9}
FILES = {name: {"bytes": 1, "sha256": ""} for name in ("ckpt-5.index", "ckpt-5.data-00000-of-00001")}


def sealed(rollbacks) -> dict:
    manifest = manifests.Manifest(5, 1.0, "", "", FILES, {"grad_shards": 1}, EXAMPLES, rollbacks=rollbacks)
    return manifests.sealed(manifest)


@pytest.mark.parametrize("rollbacks", [[], [[3, 4], [3, 3]]])
def test_rollbacks_are_steps_of_which_the_first_is_the_earlier(rollbacks):
    assert manifests.opened(sealed(rollbacks)).rollbacks == rollbacks


@pytest.mark.parametrize(
    "rollbacks", [None, {}, [3], [[3]], [[3, 2]], [[-1, 2]], [[3, "4"]], [[1, 2**31]], [[0, True]]]
)
def test_other_rollbacks_are_no_manifest(rollbacks):
    with pytest.raises(ValueError, match="rollbacks"):
        manifests.opened(sealed(rollbacks))
