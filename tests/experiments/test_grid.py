"""The runs of a sweep: what --vary means, which runs it makes, and under which names."""

from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.experiments import grid


def test_values_are_read_as_their_flags_are():
    found = grid.parse(["learning_rate=1e-4, 1e-3", "optimizer=adam,sgd", "--steps=10", "fake_data=true,false"])
    assert found == {
        "learning_rate": (1e-4, 1e-3),
        "optimizer": ("adam", "sgd"),
        "steps": (10,),
        "fake_data": (True, False),
    }


def test_semicolons_divide_values_that_hold_commas():
    assert grid.parse(["augment=;flip;shift:2,flip"]) == {"augment": ("", "flip", "shift:2,flip")}


WRONG = [
    (["lerning_rate=1"], "vary=lerning_rate=1: lerning_rate is not a flag of train; did you mean learning_rate? write"),
    (["zzz=1"], "vary=zzz=1: zzz is not a flag of train; write --vary=FLAG=VALUE,VALUE"),
    (["=1"], "vary==1: nothing is not a flag of train; write --vary=FLAG=VALUE,VALUE"),
    (["learning_rate"], "vary=learning_rate has no values; write --vary=learning_rate=VALUE,VALUE"),
    (["steps=10,ten"], "vary: steps=ten cannot be read; write values as steps=1000"),
    (["steps=1e3"], "vary: steps=1e3 cannot be read; write values as steps=1000"),
    (["steps=10,"], "vary: steps= cannot be read; write values as steps=1000"),
    (["fake_data=yes"], "vary: fake_data=yes cannot be read; write values as fake_data=false"),
    (["learning_rate=1e-3,0.001"], "vary=learning_rate=1e-3,0.001 gives 0.001 twice; give each value once"),
    (["steps=1", "steps=2"], "vary=steps=2 varies steps a second time; give all its values in one --vary"),
    (["run_dir=a,b"], "vary=run_dir=a,b: run_dir cannot be varied; vary another flag"),
]


@pytest.mark.parametrize(("varies", "line"), WRONG)
def test_what_cannot_be_varied_is_named(varies, line):
    with pytest.raises(UsageError) as told:
        grid.parse(varies)
    assert str(told.value).startswith(line)


def test_every_combination_is_a_run_in_a_directory_of_its_own():
    varied = {"learning_rate": (0.1, 0.01), "optimizer": ("adam", "sgd")}
    runs = grid.combinations(Config(steps=7), varied, Path("S"))
    assert [run.name for run in runs] == [
        *("learning_rate=0.1,optimizer=adam", "learning_rate=0.1,optimizer=sgd"),
        *("learning_rate=0.01,optimizer=adam", "learning_rate=0.01,optimizer=sgd"),
    ]
    for run in runs:
        assert run.config == Config(steps=7, run_dir=f"S/{run.name}", **run.varied)


def test_every_seed_of_every_combination():
    runs = grid.combinations(Config(seed=5, repeat=2), {"steps": (1, 2)}, Path("S"))
    assert [run.name for run in runs] == ["steps=1/seed-5", "steps=1/seed-6", "steps=2/seed-5", "steps=2/seed-6"]
    assert runs[3].config == Config(steps=2, seed=6, run_dir="S/steps=2/seed-6")
    assert [run.varied for run in runs] == [{"steps": 1}] * 2 + [{"steps": 2}] * 2


def test_seed_cannot_be_varied_in_two_ways():
    with pytest.raises(UsageError, match="--vary=seed and --repeat both vary the seed; give one of the two"):
        grid.combinations(Config(repeat=2), {"seed": (1, 2)}, Path("S"))


def test_different_values_never_share_a_directory():
    sources = ("folder:/a b", "folder:/a_b", "folder:/a/b", "folder:/" + "x" * 300, "folder:/" + "x" * 299 + "y")
    names = [run.name for run in grid.combinations(Config(), {"source": sources}, Path("S"))]
    assert len(set(names)) == len(sources)
    assert all("/" not in name and len(name) < 140 for name in names)


def test_seeds_of_one_run():
    assert [(run.name, run.config) for run in grid.seeds(Config(seed=3, repeat=2, run_dir="R"))] == [
        ("seed-3", Config(seed=3, run_dir="R/seed-3")),
        ("seed-4", Config(seed=4, run_dir="R/seed-4")),
    ]
    [alone] = grid.seeds(Config(run_dir="R"))
    assert alone.config == Config(run_dir="R")


def test_every_run_has_a_mirror_of_its_own():
    runs = grid.combinations(Config(repeat=2, mirror="s3://bucket/a/"), {"momentum": (0.5, 0.9)}, Path("S"))
    assert [run.config.mirror for run in runs] == [
        f"s3://bucket/a/momentum={momentum}/seed-{seed}" for momentum in (0.5, 0.9) for seed in (1, 2)
    ]
