"""Some faults of the grammar, and whether its judge sees what is wrong. More: python -m tests.faults --minutes=M"""

from dataclasses import replace

import pytest

from tests.faults import judge, world
from tests.faults.tries import KINDS, attempt
from tests.faults.world import AFTER, Ended, Undisturbed

SEED, TRIES = 10, 4
IN_THE_SERVER = {kind: KINDS[kind] for kind in ("run", "data", "ending")}  # those that need no Python of their own


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Runs that nothing happens to."""
    return Undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("number", range(1, TRIES + 1))
def test_a_fault_ends_in_the_correct_result_or_in_one_line(known, number):
    told = []
    assert not attempt(known, SEED, number, IN_THE_SERVER, told.append).wrong, "\n".join(told)


LINE = "storage: run/lock is no regular file; remove it\n"


@pytest.mark.parametrize(
    ("ended", "wrong"),
    [
        (Ended(74, "", LINE), []),
        (Ended(74, "", f"WARNING: so\n{LINE}"), []),
        (Ended(74, "", LINE * 2), ["said more on stderr"]),
        (Ended(65, "", LINE), ["no line that begins with 'bad data:"]),
        (Ended(1, "", "Traceback (most recent call last):\n"), ["traceback", "ended with 1"]),
        (Ended(-9, "", "HANGS\n"), ["hangs", "ended with -9"]),
        (Ended(0, "", "Corrupt JPEG data"), ["said on stderr"]),
        (Ended(0, '{"event": "result", "step": 8, "parameters_sha256": "other"}\n', ""), ["OTHER BITS"]),
    ],
)
def test_the_judge_sees_a_wrong_ending(known, ended, wrong, tmp_path):
    tried = world.Try(tmp_path, "fake", "train", None, run=tmp_path / "run")
    found = judge.faults(tried, ended, {}, {}, known)
    assert [line.startswith(start) for line, start in zip(found, wrong, strict=True)] == [True] * len(wrong), found


def test_the_judge_sees_what_is_lost(known, tmp_path):
    tried = world.Try(tmp_path, "fake", "train", None, run=tmp_path / "run")
    before = {b"run/checkpoints/ckpt-4.index": "a", b"run/notes.txt": "b", b"beside.txt": "c", b"run/lock": "d"}
    ended = Ended(74, "", LINE)
    assert judge.faults(tried, ended, before, {**before, b"run/lock": "e"}, known) == []
    aside = {**before, b"run/checkpoints/damaged-ckpt-4.index": "a", b"run/checkpoints/ckpt-4.index": "f"}
    assert judge.faults(tried, ended, before, aside, known) == []
    for path in (b"run/checkpoints/ckpt-4.index", b"run/notes.txt", b"beside.txt"):
        assert len(judge.faults(tried, ended, before, {**before, path: "other"}, known)) == 1
        assert len(judge.faults(tried, ended, before, {p: w for p, w in before.items() if p != path}, known)) == 1
    assert len(judge.faults(tried, ended, before, {**before, b"strange": "g"}, known)) == 1
    assert (
        len(judge.faults(replace(tried, command="evaluate"), ended, before, {**before, b"run/lock": "e"}, known)) == 1
    )


def test_what_is_undisturbed_is_at_its_end(known):
    assert known.hash("fake", AFTER) != known.hash("fake", AFTER // 2)
