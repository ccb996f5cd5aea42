"""A mirror: an empty machine goes on from it, and neither side is ever mixed with another run or lost."""

import json
import shutil
import tarfile
import time
from pathlib import Path

import commands
import pytest
from small_run import INTRA_OP_THREADS

from pipeline.config import Config
from pipeline.errors import StorageError, UsageError
from pipeline.process.preemption import Preemption
from pipeline.runs import loop, naming, opening, settings
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.mirror import claims, following, layout, restoring
from pipeline.runs.mirror.layout import Mirror, TakenOverError
from pipeline.runs.mirror.uploading import Uploader
from pipeline.runs.run_directory import RunDirectory
from pipeline.storage import stores
from pipeline.storage.stores import RefusedError, StoreError

FLAGS = {
    "source": "fake:60", "model": "models_for_tests:linear", "optimizer": "sgd", "global_batch": 6, "decay_steps": 12,
    "steps_per_loop": 5, "checkpoint_every": 2, "eval_every": 4, "log_every": 2, "eval_batch": 10,
    "keep_checkpoints": 2, "intra_op_threads": INTRA_OP_THREADS, "quiet": True,
}  # fmt: skip


def train(run_dir: Path, mirror: Path | str = "", steps: int = 12, **fields) -> dict:
    """Trains as the command does; the result line."""
    asked = Config(**(FLAGS | fields), steps=steps, run_dir=str(run_dir), mirror=str(mirror))
    settings.check(asked)
    with opening.opened(asked, Preemption()) as run:
        if run:
            loop.train(run)
    return RunDirectory(run_dir).history().result


def told(run_dir: Path) -> list[dict]:
    numbers = [e for e in RunDirectory(run_dir).history().events if e["event"] in ("train", "validation", "test")]
    return [{k: v for k, v in event.items() if k not in ("time", "images_per_second")} for event in numbers]


def checkpoints(path: Path) -> list[str]:
    return sorted(p.name for p in (path / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Path:
    run_dir = tmp_path_factory.mktemp("straight") / "run"
    train(run_dir)
    return run_dir


@pytest.fixture(scope="module")
def at_8(tmp_path_factory) -> Path:
    """`run` and its `mirror`, stopped at step 8 of 12, as by a kill: without the end. Not to be changed."""
    directory = tmp_path_factory.mktemp("at-8")
    train(directory / "run", directory / "mirror", steps=8)
    for path in (directory / "run", directory / "mirror"):
        lines = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
        (path / "metrics.jsonl").write_text("".join(x for x in lines if '"test"' not in x and '"result"' not in x))
    return directory


@pytest.fixture
def mirror(at_8, tmp_path) -> Path:
    return shutil.copytree(at_8 / "mirror", tmp_path / "mirror")


@pytest.fixture
def run_dir(at_8, tmp_path) -> Path:
    return shutil.copytree(at_8 / "run", tmp_path / "run")


def damage(directory: Path, step: int) -> None:
    path = directory / "checkpoints" / f"ckpt-{step}.data-00000-of-00001"
    path.write_bytes(bytes(path.stat().st_size))


def assert_as_straight(run_dir: Path, straight: Path) -> None:
    results = [RunDirectory(path).history().result["parameters_sha256"] for path in (run_dir, straight)]
    assert results[0] == results[1] and told(run_dir) == told(straight)


def test_a_mirror_has_what_the_run_directory_has(at_8):
    here, there = commands.contents(at_8 / "run"), commands.contents(at_8 / "mirror")
    assert here.keys() - there.keys() == {"lock"} and there.keys() - here.keys() == set()
    assert {name for name in there if here[name] != there[name]} <= {"mirror.json", "metrics.jsonl"}
    claim = json.loads(there["mirror.json"])
    assert claim["checkpoint"] == 8 and claim["run"] == json.loads(here["mirror.json"])["run"]


def test_an_empty_machine_goes_on_with_the_same_bits_and_the_same_story(mirror, tmp_path, straight):
    train(tmp_path / "new", mirror)
    assert_as_straight(tmp_path / "new", straight)
    assert checkpoints(mirror) == checkpoints(tmp_path / "new")
    [first] = {e["step"] for e in RunDirectory(tmp_path / "new").history().events if e["event"] == "resume"}
    assert first == 8


def test_the_best_checkpoint_comes_along(at_8, mirror, tmp_path):
    history = RunDirectory(mirror).history()
    best = history.best_step(Checkpoints(mirror / "checkpoints").steps(), "accuracy")
    lines = [json.loads(line.text) for line in history.lines]
    for line in lines:  # an early step was the best
        if line["event"] == "validation":
            line["accuracy"] = 0.9 if line["step"] == 4 else 0.1
    (mirror / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if best != 4:  # then it was pruned
        other = tmp_path / "other"
        train(other, steps=4)
        for path in (other / "checkpoints").glob("ckpt-4.*"):
            shutil.copy(path, mirror / "checkpoints")
    train(tmp_path / "new", mirror, steps=9)
    assert Checkpoints(tmp_path / "new" / "checkpoints").steps() == [4, 8, 9]
    assert layout.steps(stores.opened(str(mirror)).sizes()) == [4, 8, 9]


# --- the newest checkpoint that verifies, here or there ---


def resumed_at(run_dir: Path) -> int:
    return max(e["step"] for e in RunDirectory(run_dir).history().events if e["event"] == "resume")


def test_damage_in_the_mirror_leaves_an_older_checkpoint(mirror, tmp_path, straight):
    damage(mirror, 8)
    train(tmp_path / "new", mirror)
    assert resumed_at(tmp_path / "new") == 6
    assert_as_straight(tmp_path / "new", straight)
    assert Checkpoints(mirror / "checkpoints").verify(12)


def test_damage_here_is_replaced_from_the_mirror(run_dir, mirror, straight):
    damage(run_dir, 8)
    train(run_dir, mirror)
    assert resumed_at(run_dir) == 8 and list((run_dir / "checkpoints").glob("damaged-ckpt-8.*"))
    assert_as_straight(run_dir, straight)


def test_a_newer_checkpoint_here_is_taken_and_sent(run_dir, mirror, straight, tmp_path):
    for path in (mirror / "checkpoints").glob("ckpt-8.*"):
        path.unlink()
    (mirror / "tensorboard" / "events.out.tfevents.1.of-a-lost-machine").touch()
    before = commands.contents(run_dir / "tensorboard")
    train(run_dir, mirror)
    assert resumed_at(run_dir) == 8 and not list(run_dir.glob("replaced-*"))
    assert_as_straight(run_dir, straight)
    assert commands.contents(mirror / "tensorboard") == commands.contents(run_dir / "tensorboard") != before


def test_a_newer_checkpoint_in_the_mirror_sets_the_records_here_aside(run_dir, mirror, straight):
    for path in (run_dir / "checkpoints").glob("ckpt-8.*"):
        path.unlink()
    (run_dir / "metrics.jsonl").write_text((run_dir / "metrics.jsonl").read_text().replace('"loss": ', '"loss": 9'))
    train(run_dir, mirror)
    assert resumed_at(run_dir) == 8
    with tarfile.open(run_dir / "replaced-1.tar") as tar:
        assert b'"loss": 9' in tar.extractfile("metrics.jsonl").read()
    assert_as_straight(run_dir, straight)


# --- a start from scratch must never bury a run ---


def test_a_first_upload_that_was_cut_short_is_no_checkpoint(mirror, tmp_path, straight):
    for path in (mirror / "checkpoints").glob("*.manifest.json"):
        path.unlink()
    claim = json.loads((mirror / "mirror.json").read_text())
    (mirror / "mirror.json").write_text(json.dumps({**claim, "checkpoint": -1}))
    train(tmp_path / "new", mirror)
    assert_as_straight(tmp_path / "new", straight)
    assert checkpoints(mirror) == checkpoints(tmp_path / "new")  # what was left of the upload is gone


@pytest.mark.parametrize("lose", ["the manifests", "all", "by damage"])
def test_lost_checkpoints_of_a_mirror_are_no_reason_to_start_from_scratch(mirror, tmp_path, lose):
    for path in (mirror / "checkpoints").iterdir():
        if lose == "by damage":
            path.write_bytes(b"damaged")
        elif lose == "all" or "manifest" in path.name:
            path.unlink()
    before = commands.contents(mirror)
    with pytest.raises(StorageError, match=f"no checkpoint of mirror={mirror} can be restored"):
        train(tmp_path / "new", mirror)
    assert commands.contents(mirror) == before


def unusable(monkeypatch, kind: type[StoreError]) -> None:
    def fail(*_):
        raise kind("out of order")

    monkeypatch.setattr(restoring, "WAIT_S", 0.0)
    for method in ("sizes", "read", "write", "upload", "remove"):
        monkeypatch.setattr(stores.Directory, method, fail)


@pytest.mark.parametrize("kind", [StoreError, RefusedError])
def test_nothing_here_and_a_mirror_that_cannot_be_used_is_no_start(tmp_path, monkeypatch, kind):
    unusable(monkeypatch, kind)
    with pytest.raises(StorageError, match=r"cannot be used \(out of order\), and .* holds no checkpoint"):
        train(tmp_path / "new", tmp_path / "mirror")
    assert not (tmp_path / "new").exists()


def test_with_a_checkpoint_here_the_run_goes_on_and_the_end_says_what_is_missing(
    run_dir, mirror, straight, monkeypatch, capfd
):
    unusable(monkeypatch, RefusedError)
    with pytest.raises(StorageError, match=r"finished here, but mirror=.* is not complete \(out of order\)"):
        train(run_dir, mirror)
    assert_as_straight(run_dir, straight)
    [line] = capfd.readouterr().err.splitlines()
    assert "goes on from the checkpoints here" in line
    monkeypatch.undo()
    train(run_dir, mirror)  # finished already: it only sends
    assert checkpoints(mirror) == checkpoints(run_dir)
    assert (mirror / "metrics.jsonl").read_bytes() == (run_dir / "metrics.jsonl").read_bytes()


def test_a_mirror_that_is_ahead_is_left_as_it_is_until_the_run_here_is_as_far(run_dir, mirror):
    here = Mirror(stores.opened(str(mirror)), RunDirectory(run_dir), Checkpoints(run_dir / "checkpoints"))
    for path in (run_dir / "checkpoints").glob("ckpt-8.*"):
        path.unlink()
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write('{"event": "start", "step": 6, "time": 1.0, "devices": "cpu:0"}\n')
    here.take(here.found())
    before = commands.contents(mirror)
    Uploader(here, keep=2, best_by="accuracy").update()
    assert commands.contents(mirror) == before


def test_checkpoints_that_a_recheck_withdrew_do_not_come_back(run_dir, mirror, straight, tmp_path):
    """Step 8 is set aside here, and the mirror has it still; it is removed there, or if it stays, it is not taken."""
    directory = RunDirectory(run_dir)
    event = {"event": "corrupted", "time": time.time(), "step": 8, "withdrawn": [8], "why": "bits differ"}
    with directory.metrics.open("a") as file:
        file.write(json.dumps(event) + "\n")
    Checkpoints(directory.checkpoints).tidy([8])
    other = shutil.copytree(mirror, tmp_path / "other")
    follow = Mirror(stores.opened(str(other)), directory, Checkpoints(directory.checkpoints))
    follow.take(follow.found())
    Uploader(follow, 2, "accuracy").update()
    assert layout.steps(follow.store.sizes()) == [4, 6]
    train(run_dir, mirror)
    assert RunDirectory(run_dir).history().launches[-1].step == 6
    assert_as_straight(run_dir, straight)


def test_a_store_that_fails_for_a_while_is_told_once_and_caught_up_with(run_dir, mirror, monkeypatch, capfd):
    here = Mirror(stores.opened(str(mirror)), RunDirectory(run_dir), Checkpoints(run_dir / "checkpoints"))
    here.take(here.found())
    shutil.rmtree(mirror / "checkpoints")
    attempts = []

    def fail_twice(self, file, name):
        if name.endswith(".index"):
            attempts.append(name)
            if len(attempts) < 3:
                raise StoreError("slow down")
        upload(self, file, name)

    upload = stores.Directory.upload
    monkeypatch.setattr(stores.Directory, "upload", fail_twice)
    follower = following.follower_of(here, keep=2, best_by="accuracy")
    follower.start()
    deadline = time.monotonic() + 60
    assert follower.complete(lambda: deadline - time.monotonic())
    follower.stop()
    assert checkpoints(mirror) == checkpoints(run_dir)
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(" (")[0] for line in lines if "behind" in line] in ([f"mirror={mirror} is behind"], [])
    assert lines[-1] == f"mirror={mirror} is up to date again"


# --- one run, one mirror ---


def test_the_mirror_of_another_run_is_refused(run_dir, mirror, tmp_path):
    train(tmp_path / "another", steps=4)
    before = commands.contents(mirror), commands.contents(tmp_path / "another")
    with pytest.raises(UsageError, match="is of another run than run_dir"):
        train(tmp_path / "another", mirror)
    train(tmp_path / "third", tmp_path / "its", steps=4)
    with pytest.raises(UsageError, match="is of another run than run_dir"):
        train(tmp_path / "third", mirror)
    assert (commands.contents(mirror), commands.contents(tmp_path / "another")) == before


def test_the_mirror_of_another_configuration_is_refused_and_nothing_is_left_behind(mirror, tmp_path):
    before = commands.contents(mirror)
    with pytest.raises(UsageError, match=f"{mirror} was started with another configuration .*seed: 1 -> 2"):
        train(tmp_path / "new", mirror, seed=2)
    with pytest.raises(UsageError, match=f"resume=never, but {mirror} holds checkpoints"):
        train(tmp_path / "new", mirror, resume="never")
    assert commands.contents(mirror) == before and not (tmp_path / "new").exists()


def test_a_store_of_other_things_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"dear")
    with pytest.raises(UsageError, match=r"holds other files \(a.jpg, …\) and no mirror.json; give an empty one"):
        train(tmp_path / "new", tmp_path / "photos")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("inside", ["run/mirror", ".", "run"])
def test_a_mirror_and_its_run_directory_lie_apart(tmp_path, inside):
    with pytest.raises(UsageError, match="lie in each other"):
        train(tmp_path / "run", tmp_path / inside)


def test_a_run_may_get_a_mirror_later_and_change_it(straight, tmp_path):
    run = shutil.copytree(straight, tmp_path / "run")
    for name in ("one", "other"):
        train(run, tmp_path / name)
        assert checkpoints(tmp_path / name) == checkpoints(run)
    assert claims.Claim.read(stores.opened(str(tmp_path / "one"))).run == naming.read(run / "mirror.json", "mirror")


def test_a_later_launch_has_the_mirror(run_dir, mirror, tmp_path):
    def machine(path: Path) -> Mirror:
        return Mirror(stores.opened(str(mirror)), RunDirectory(path), Checkpoints(path / "checkpoints"))

    first, second = machine(run_dir), machine(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    for each in (first, second):
        found = each.found()
        each.record_run(found)
        each.take(found)
    before = commands.contents(mirror)
    with pytest.raises(TakenOverError, match="process"):
        Uploader(first, keep=2, best_by="accuracy").update()
    assert commands.contents(mirror) == before


# --- what lies in a store is not trusted ---


@pytest.mark.parametrize("content", [b"", b"[]", b'{"run": 1}', b"\xff", b"[" * 9999, b'{"run":"a","owner":"b"}'])
def test_a_damaged_claim_is_named(mirror, tmp_path, content):
    (mirror / "mirror.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"mirror\.json is damaged"):
        train(tmp_path / "new", mirror)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "name", ["../a", "tensorboard/../../a", "/etc/a", "tensorboard//a", "checkpoints/a", "lock", "logs/", "stop"]
)
def test_names_that_lead_elsewhere_are_left_where_they_are(name):
    assert not layout.is_mirrored(name)
    assert layout.is_mirrored("tensorboard/train/events.out.tfevents.1.host") and layout.is_mirrored("metrics.jsonl")


def test_a_damaged_configuration_in_a_mirror_is_named(mirror, tmp_path):
    (mirror / "config.flags").write_bytes(b"--sourc=fake\n")
    with pytest.raises(StorageError, match=r"config\.flags is damaged"):
        train(tmp_path / "new", mirror)
