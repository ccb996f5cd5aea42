from pipeline.runs import manifests


def test_the_newest_step_is_the_highest_with_a_manifest(tmp_path):
    assert manifests.newest_step(tmp_path) == manifests.newest_step(tmp_path / "none") == -1
    for step in (9, 10):
        manifests.path(tmp_path, step).touch()
    for name in ("ckpt-11.index", "damaged-ckpt-12.manifest.json", "ckpt-13.manifest.json.part", ".writing-ckpt-14-1"):
        (tmp_path / name).touch()
    assert manifests.newest_step(tmp_path) == 10
