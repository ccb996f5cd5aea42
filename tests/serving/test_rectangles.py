"""Rectangular images, evaluated on their middle: evaluation, predict and every export see the same pixels."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import small_run
import tensorflow as tf
from picture_folders import encoded, photo

from pipeline.engine import evaluation, state
from pipeline.runs.checkpoints import Manifest, Restored
from pipeline.serving import formats
from pipeline.serving.exporting import export
from pipeline.serving.formats import savedmodel
from pipeline.serving.images import Images
from pipeline.sources import images

SHAPE, SHARE = (20, 12, 3), 0.6


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a folder of photos of several sizes: its parts, its checkpoint, and the paths of its test split."""
    root = tmp_path_factory.mktemp("photos")
    for split in ("train", "test"):
        for i in range(12):
            path = root / split / ("ant", "bee")[i % 2] / f"{i}.{('png', 'jpg')[i % 4 // 2]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = photo(60, seed=i).resize((60, 30) if i % 3 else (24, 60))
            path.write_bytes(encoded(picture, {"png": "PNG", "jpg": "JPEG"}[path.suffix[1:]]))
    fields = {"source": f"folder:{root}", "image_size": "20x12", "validation_fraction": 0.25, "grad_shards": 2}
    assembly = small_run.assembly(eval_crop=SHARE, **fields)
    values = small_run.train(0, 2, eval_crop=SHARE, **fields)
    restored = Restored(Manifest(2, 0.0, "", "", {}, {}, {}), values, {})
    test = assembly.splits.test
    paths = [test.where(i) for i in range(len(test))]
    return SimpleNamespace(
        fields=fields, assembly=assembly, towers=assembly.towers(values), restored=restored, paths=paths
    )


def pixels_of(source) -> np.ndarray:
    raw, _ = source.fetch(tf.range(len(source), dtype=tf.int64))
    return source.decode(raw).numpy()


def test_evaluation_and_predict_see_the_middle(run):
    seen = pixels_of(run.assembly.evaluated("test"))
    assert seen.shape == (12, *SHAPE)
    assert (seen != pixels_of(run.assembly.splits.test)).mean() > 0.5
    assert run.assembly.evaluated("test").fingerprint == run.assembly.splits.test.fingerprint
    found = list(Images(run.paths, SHAPE, SHARE).dataset(np.arange(12)))
    np.testing.assert_array_equal(np.stack([image for _, image in found]), seen)


def test_a_batch_of_arrays_is_cut_alike(run, tmp_path):
    batch = np.stack([np.asarray(photo(60, seed=i)) for i in range(3)])
    np.save(tmp_path / "batch.npy", batch)
    [(_, first), *_] = Images([str(tmp_path / "batch.npy")], SHAPE, SHARE).dataset(np.arange(3))
    np.testing.assert_array_equal(
        first, images.decode(tf.io.encode_png(batch[0]), SHAPE, images.middle(SHARE, SHAPE)).numpy()
    )


def test_the_parameters_do_not_depend_on_what_evaluation_sees(run):
    whole = small_run.train(0, 2, **run.fields)
    assert state.parameters_sha256(whole) == state.parameters_sha256(run.restored.values)


@pytest.mark.parametrize("name", formats.FORMATS)
def test_every_export_takes_rectangles(run, name, tmp_path):
    exported = export(run.assembly, run.towers, run.restored, name, tmp_path)
    assert exported.difference < 2e-6


def test_a_savedmodel_cuts_the_files_that_it_is_given(run, tmp_path):
    path = export(run.assembly, run.towers, run.restored, "savedmodel", tmp_path).path
    loaded = tf.saved_model.load(str(path / savedmodel.NAME))
    files = tf.constant([Path(name).read_bytes() for name in run.paths])
    answers = loaded.signatures["serving_bytes"](image_bytes=files)
    expected = evaluation.probabilities(
        run.assembly.model, run.towers, pixels_of(run.assembly.evaluated("test")), len(run.paths)
    )
    np.testing.assert_array_equal(answers["probabilities"], expected)
