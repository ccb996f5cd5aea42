"""The splits of an open run: validation is evaluated again and again, test once."""

import dataclasses
import shutil

import pytest
from picture_folders import encoded, fill, photo
from small_run import INTRA_OP_THREADS

from pipeline.config import Config
from pipeline.errors import BadDataError, UsageError
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


def opened(tmp_path, **flags):
    asked = Config(**{**FLAGS, "source": "fake:40", "eval_every": 1, **flags}, run_dir=str(tmp_path / "run"))
    return opening.opened(asked, Preemption())


def test_evaluations_without_a_number_do_not_count(tmp_path):
    values = {1: 0.5, 2: 0.9, 3: 0.8, 4: None, 5: 0.7}
    validated = {step: {} if value is None else {"f1": value} for step, value in values.items()}
    with opened(tmp_path, metrics="f1", early_stop="f1:2", best_by="f1") as run:

        def ends_early(validated) -> bool:
            start = dataclasses.replace(run.start, validated=validated)
            return Scorer(dataclasses.replace(run, start=start)).ends_early()

        until = [{step: validated[step] for step in range(1, last + 1)} for last in validated]
        assert [ends_early(known) for known in until] == [False, False, False, False, True]
        assert not ends_early({4: {}})


def test_a_metric_that_the_data_do_not_have_is_refused(tmp_path):
    for split in ("train", "test"):
        fill(tmp_path / "D" / split)
    with opened(tmp_path, source=f"folder:{tmp_path}/D", metrics="all", best_by="top5") as run:
        with pytest.raises(UsageError) as refused:
            Scorer(run)
        line = "best_by goes by top5, which evaluations do not compute; add top5 to --metrics, or use accuracy or loss"
        assert str(refused.value) == line
