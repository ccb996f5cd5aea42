import pytest
from saved_states import assert_holds, files, flip, save
from wiretap import Wiretap

from pipeline.runs.checkpoints import Checkpoints

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
