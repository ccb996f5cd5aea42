"""The continuous evaluator beside a run that is played step by step; tests/processes/test_watching.py has real ones."""

import json
import shutil

import pytest
import small_run
from told_run import curves, lines

from pipeline.engine import state
from pipeline.engine.evaluation import Evaluator
from pipeline.errors import PreemptedError, StorageError
from pipeline.monitoring import summaries
from pipeline.monitoring.journal import Journal
from pipeline.process.preemption import Preemption
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory
from pipeline.serving import watch

FIELDS = {"model": "models_for_tests:batch_norm", "eval_batch": 10, "steps": 6}
EXECUTION = {"towers": 2, "tower_devices": ""}
LAST = FIELDS["steps"]


class Training:
    """A training to its last step, of which some steps are kept."""

    def __init__(self):
        self.assembly = small_run.assembly(**FIELDS)
        trainer = small_run.trainer(**FIELDS)
        evaluator = Evaluator(self.assembly.model, trainer.towers, 10)
        self.values: dict[int, state.Values] = {}
        self.scores: dict[int, dict[str, float]] = {}  # on validation
        for before, step in ((0, 2), (2, 4), (4, LAST)):
            trainer.advance(before, step)
            self.values[step] = state.arrays(trainer.towers.check_equal(step))
            scores = evaluator(self.assembly.splits.validation)
            self.scores[step] = {"loss": scores.loss, "accuracy": scores.accuracy}


class PlayedRun:
    """A run directory in which things come to lie as a training would lay them."""

    def __init__(self, path, training: Training):
        self.directory = RunDirectory(path)
        self.checkpoints = Checkpoints(self.directory.checkpoints)
        self._training = training
        path.mkdir()
        self.directory.record(training.assembly.config)
        self.expected = {}

    def save(self, step: int) -> None:
        """Saves this step; notes what its scores on validation are."""
        about = self._training.assembly.about()
        self.checkpoints.save(step, self._training.values[step], about, lambda manifest, seconds: None)
        self.checkpoints.wait()
        self.expected[step] = self._training.scores[step]

    def tell(self, event: str, step: int) -> None:
        journal = Journal(self.directory.path, step)
        journal.event(event, step)
        journal.close()

    def watch(self, timeout_s: int = 0, stop: Preemption | None = None) -> None:
        watch.watch(self.directory, "validation", EXECUTION, timeout_s, stop or Preemption())

    def found(self) -> dict[int, dict]:
        """What the watch told, by step; none is told twice."""
        told = lines(self.directory.path / "watch" / "validation")
        assert all(line["event"] == "validation" for line in told)
        assert len({line["step"] for line in told}) == len(told)
        return {line["step"]: {name: line[name] for name in ("loss", "accuracy")} for line in told}


@pytest.fixture(scope="module")
def training():
    return Training()


@pytest.fixture
def run(training, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "POLL_S", 0.01)
    return PlayedRun(tmp_path / "run", training)


def test_every_checkpoint_is_scored_once_and_the_end_is_seen(run, capsys):
    for step in (2, 4, LAST):
        run.save(step)
    run.tell("result", LAST)
    before = {path: path.read_bytes() for path in run.directory.path.rglob("*") if path.is_file()}
    run.watch()
    assert run.found() == run.expected
    assert len({scores["loss"] for scores in run.expected.values()}) == 3
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("step 2: validation accuracy ") and told[3].startswith(
        f"the run finished at step {LAST}; 3"
    )
    assert json.loads(told[-1]).items() >= {"event": "validation", "step": LAST, **run.expected[LAST]}.items()
    assert {path: path.read_bytes() for path in before} == before
    own = run.directory.path / "watch" / "validation"
    points = curves(own)["validation", summaries.chart("loss")]
    assert [step for step, _, _ in points] == [2, 4, LAST]
    assert points[0][2] == pytest.approx(run.expected[2]["loss"])


def test_started_again_it_scores_what_is_new(run, capsys):
    run.save(2)
    run.watch(timeout_s=1)
    assert capsys.readouterr().out.splitlines()[1].startswith("no new checkpoint for 1 s; 1 checkpoints were scored")
    run.save(4)
    run.tell("diverged", 4)
    run.watch()
    assert run.found() == run.expected
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told[:1]] == ["step 4"]
    assert told[1].startswith("the run diverged at step 4; 2 checkpoints were scored")


def test_a_watch_on_other_data_keeps_its_scores_apart(run):
    run.save(LAST)
    run.tell("result", LAST)
    losses = set()
    for source, place in (({}, "test"), ({"source": "fake:90"}, "test-fake_90")):
        watch.watch(run.directory, "test", EXECUTION | source, 0, Preemption())
        [line] = lines(run.directory.path / "watch" / place)
        losses.add(line["loss"])
    assert len(losses) == 2


@pytest.mark.parametrize(("event", "step"), [("preempted", LAST), ("checkpoint", LAST), ("result", LAST - 2)])
def test_what_is_not_the_end_is_waited_through(run, capsys, event, step):
    run.save(LAST)
    run.tell(event, step)
    run.watch(timeout_s=1)
    assert "\nno new checkpoint for 1 s;" in capsys.readouterr().out
    assert run.found() == run.expected


def test_it_waits_for_the_run_itself_but_not_for_ever(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(watch, "POLL_S", 0.01)
    watch.watch(RunDirectory(tmp_path / "none"), "test", EXECUTION, 1, Preemption())
    assert capsys.readouterr().out == f"no run in {tmp_path}/none after 1 s\n"
    assert list(tmp_path.iterdir()) == []


class Meanwhile(watch._Scorer):
    """Scores, and does something to the run before it reads a certain step."""

    def __init__(self, saved, split, execution):
        super().__init__(saved, split, execution)
        self.meanwhile = {}

    def __call__(self, step, stop):
        self.meanwhile.pop(step, lambda: None)()
        return super().__call__(step, stop)


@pytest.fixture
def meanwhile(monkeypatch):
    """By step: what happens to the run in the moment before it is read."""
    happens = {}

    class Scorer(Meanwhile):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.meanwhile = happens

    monkeypatch.setattr(watch, "_Scorer", Scorer)
    return happens


def test_a_checkpoint_deleted_before_it_is_read_is_passed_over_with_a_line(run, meanwhile, capsys):
    for step in (2, 4, LAST):
        run.save(step)
    run.tell("result", LAST)
    meanwhile[4] = lambda: run.checkpoints.prune(newest=1, also={2})
    run.watch()
    assert capsys.readouterr().out.splitlines()[1] == "passed over: ckpt-4 was deleted before it was read"
    assert run.found() == {step: run.expected[step] for step in (2, LAST)}


def test_a_checkpoint_in_the_middle_of_its_deletion_is_not_taken_for_a_damaged_one(run, meanwhile, capsys):
    for step in (2, LAST):
        run.save(step)
    run.tell("result", LAST)
    manifest = run.directory.checkpoints / "ckpt-2.manifest.json"
    meanwhile[2] = manifest.unlink  # what prune does first
    meanwhile[LAST] = lambda: run.checkpoints.prune(newest=1, also=set())
    run.watch()
    assert "passed over" not in capsys.readouterr().out
    assert run.found() == {LAST: run.expected[LAST]}


def test_a_damaged_checkpoint_is_passed_over_and_scored_once_it_is_whole(run, meanwhile, capsys):
    run.save(2)
    run.save(LAST)
    run.tell("result", LAST)
    path = run.directory.checkpoints / "ckpt-2.data-00000-of-00001"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    run.watch()
    told = capsys.readouterr().out
    assert told.count("passed over: ") == 1 and "ckpt-2.data-00000-of-00001 is damaged" in told
    assert run.found() == {LAST: run.expected[LAST]}
    path.write_bytes(content)
    run.watch()
    assert run.found() == run.expected


def test_a_damaged_checkpoint_that_a_resume_replaces_is_scored_by_the_same_watch(run, monkeypatch, capsys):
    run.save(2)
    path = run.directory.checkpoints / "ckpt-2.data-00000-of-00001"
    content = path.read_bytes()
    path.write_bytes(content[:-1])

    def put_back():
        for aside in run.directory.checkpoints.glob("damaged-*"):
            aside.rename(aside.with_name(aside.name.removeprefix("damaged-")))
        path.write_bytes(content)

    nothing = [lambda: None] * watch.ATTEMPTS
    between_looks = iter([*nothing, lambda: run.checkpoints.tidy([2]), put_back, lambda: run.tell("result", LAST)])
    monkeypatch.setattr(watch._Patience, "wait", lambda patience: next(between_looks)() is None)
    run.watch()
    assert capsys.readouterr().out.count("passed over: ") == 1
    assert run.found() == run.expected


def test_a_signal_ends_it_and_what_was_scored_stays(run, meanwhile):
    for step in (2, 4):
        run.save(step)
    stop = Preemption()
    meanwhile[4] = lambda: stop.ask("SIGTERM")
    with pytest.raises(PreemptedError, match="SIGTERM; all scores are kept, and the same command goes on"):
        run.watch(stop=stop)
    assert run.found() == {2: run.expected[2]}


def test_one_split_is_watched_once_at_a_time(run):
    run.save(2)
    own = RunDirectory(run.directory.path / "watch" / "validation")
    with own.own(), pytest.raises(StorageError, match="belongs to a live run"):
        run.watch(timeout_s=1)
    shutil.rmtree(own.path)
    run.watch(timeout_s=1)
