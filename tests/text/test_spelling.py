"""What someone may have meant."""

import pytest

from pipeline.config import Config
from pipeline.text.spelling import SYNONYMS, did_you_mean

FLAGS = [*Config.__dataclass_fields__, "checkpoint"]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        *(("lerning_rate", "learning_rate"), ("Steps", "steps"), ("STEPS", "steps"), ("run-dir", "run_dir")),
        *(("LR", "learning_rate"), ("batch-size", "global_batch"), ("epochs", "steps"), ("num_gpus", "towers")),
        *((" seed", "seed"), ("dataset", "source")),
    ],
)
def test_the_nearest_flag_is_found(asked, meant):
    assert did_you_mean(asked, FLAGS, prefix="--") == f"did you mean --{meant}? "


def test_nothing_is_guessed_where_nothing_is_near():
    assert did_you_mean("zzz", FLAGS) == "" and did_you_mean("", FLAGS) == ""


def test_a_synonym_counts_only_where_its_flag_is():
    assert did_you_mean("lr", ["split", "format"]) == ""


def test_names_keep_their_own_capitals():
    assert did_you_mean("t-shrt", ["T-shirt", "Coat"]) == "did you mean T-shirt? "


def test_every_synonym_leads_to_a_flag_and_is_none_itself():
    assert set(SYNONYMS.values()) <= set(FLAGS) and not set(SYNONYMS) & set(FLAGS)
