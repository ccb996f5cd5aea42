"""The splits of an open run: validation is evaluated again and again, test once."""

import shutil

import pytest
from picture_folders import encoded, photo
from small_run import INTRA_OP_THREADS

from pipeline.config import Config
from pipeline.errors import BadDataError
from pipeline.process.preemption import Preemption
from pipeline.runs import opening
from pipeline.runs.scoring import Scorer

COUNT, SIDE = 10, 8  # of each split's pictures

FLAGS = {
    "model": "models_for_tests:linear", "image_size": str(SIDE), "global_batch": 4, "steps": 4, "eval_batch": 4,
    "intra_op_threads": INTRA_OP_THREADS, "quiet": True,
}  # fmt: skip


def test_validation_is_read_once_and_test_each_time(tmp_path):
    for split in ("train", "validation", "test"):
        for i in range(COUNT):
            path = tmp_path / "D" / split / "ab"[i % 2] / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(photo(SIDE, seed=i), "JPEG"))
    asked = Config(**FLAGS, source=f"folder:{tmp_path}/D", run_dir=str(tmp_path / "run"))
    with opening.opened(asked, Preemption()) as run:
        scorer = Scorer(run)
        first = {split: scorer.tally(split, 0) for split in ("validation", "test")}
        shutil.rmtree(tmp_path / "D" / "validation")
        assert scorer.tally("validation", 0).scores == first["validation"].scores
        (tmp_path / "D" / "test" / "a" / "0.jpg").write_bytes(b"torn")
        with pytest.raises(BadDataError, match=r"/test/a/0\.jpg"):
            scorer.tally("test", 0)
