"""The metrics of an evaluation: scikit-learn's, on any number of towers, in blocks of any size."""

import numpy as np
import pytest
from lazily import Module
from small_run import assembly

from pipeline.engine import outputs
from pipeline.engine.evaluation import Evaluator
from pipeline.engine.outputs import Kept
from pipeline.metrics import names
from pipeline.sources.labels import NO_CLASS
from pipeline.sources.memory import InMemory

theirs = Module("sklearn.metrics")
NUM_EXAMPLES, CLASSES = 103, 10
ALL = names.settled(("top1", "top3", *names.BY_CLASS, names.CALIBRATION), CLASSES)


@pytest.fixture(scope="module")
def parts():
    return assembly(8, model="models_for_tests:linear", optimizer="sgd", source="fake:100")


@pytest.fixture(scope="module")
def split() -> InMemory:
    """Images with a band for their class, under noise that mostly hides it."""
    random = np.random.RandomState(0)
    labels = (np.arange(NUM_EXAMPLES) ** 2 % CLASSES).astype(np.int32)  # some classes have no examples
    images = random.randint(0, 256, [NUM_EXAMPLES, 28, 28, 1]).astype(np.uint8)
    return InMemory(images, labels, tuple("0123456789"), "examples")


def evaluator(parts, towers: int, shard_batch: int = 10, metrics=ALL) -> Evaluator:
    fewer = assembly(towers, model="models_for_tests:linear", optimizer="sgd")
    return Evaluator(parts.model, fewer.towers(parts.initial()), shard_batch, metrics=metrics)


def probabilities(parts, split) -> np.ndarray:
    rounds = evaluator(parts, 2).rounds(split, Kept(probabilities=True))
    return np.concatenate([r.outputs.probabilities.reshape(-1, CLASSES) for r in rounds])[:NUM_EXAMPLES]


def test_metrics_are_those_of_scikit_learn_on_the_same_probabilities(parts, split):
    labels, scores = split.fetch(np.arange(NUM_EXAMPLES))[1].numpy(), probabilities(parts, split)
    tally = evaluator(parts, 2).tally(split)
    values, predicted = tally.metrics.values, scores.argmax(axis=1)
    assert values["top1"] == tally.scores.accuracy == theirs.accuracy_score(labels, predicted)
    assert values["top3"] == theirs.top_k_accuracy_score(labels, scores, k=3, labels=range(CLASSES))
    for name in names.OF_COUNTS:
        reference = getattr(theirs, f"{name}_score")(labels, predicted, average="macro", zero_division=0)
        assert values[name] == pytest.approx(reference, rel=1e-14)
    present = np.unique(labels)
    one_hot, of_present = np.eye(CLASSES, dtype=int)[labels][:, present], scores[:, present]
    assert values["auroc"] == pytest.approx(theirs.roc_auc_score(one_hot, of_present), rel=1e-14)
    assert values["average_precision"] == pytest.approx(theirs.average_precision_score(one_hot, of_present), rel=1e-13)
    assert list(values) == list(ALL) and len(present) < CLASSES


def test_the_same_metrics_on_any_number_of_towers_and_in_any_blocks(parts, split, monkeypatch):
    first = evaluator(parts, 1).tally(split).metrics.as_dict(split.class_names)
    for towers, block in ((3, 4 * 3 * NUM_EXAMPLES), (8, 1)):  # three classes at once, and one
        monkeypatch.setattr(outputs, "BLOCK_BYTES", block)
        found = evaluator(parts, towers).tally(split).metrics.as_dict(split.class_names)
        assert repr(found) == repr(first)  # to the bit; nan, of classes without examples, equals nan


def test_metrics_change_no_score_and_are_left_out_where_none_is_asked_for(parts, split):
    without, with_ = (evaluator(parts, 2, metrics=metrics).tally(split) for metrics in ((), ALL))
    assert without.metrics is None and without.scores == with_.scores and without.mistakes == with_.mistakes
    [only] = evaluator(parts, 2, metrics=("f1",)).tally(split).metrics.values.items()
    assert only == ("f1", with_.metrics.values["f1"])


def test_metrics_of_several_labels_are_those_of_scikit_learn_on_any_number_of_towers(parts, split):
    random = np.random.RandomState(1)
    several = random.rand(NUM_EXAMPLES, CLASSES) < np.linspace(0.05, 0.7, CLASSES)
    rows = np.where(several, np.arange(CLASSES), NO_CLASS).astype(np.int32)  # gaps, which are no classes
    images = split.decode(split.fetch(np.arange(NUM_EXAMPLES))[0]).numpy()
    source = InMemory(images, rows, tuple("0123456789"), "examples")
    asked = names.settled(("all",), CLASSES, multi_label=True)
    found = []
    for towers in (1, 3):
        on = assembly(towers, model="models_for_tests:linear", optimizer="sgd").towers(parts.initial())
        evaluator = Evaluator(parts.model, on, 10, multi_label=True, metrics=asked)
        found.append(evaluator.tally(source).metrics)
        rounds = [judged.outputs.probabilities for judged in evaluator.rounds(source, Kept(probabilities=True))]
        scores = np.concatenate([r.reshape(-1, CLASSES) for r in rounds])[:NUM_EXAMPLES]
    values, predicted = found[0].values, scores > 0.5
    for name in names.OF_COUNTS:
        reference = getattr(theirs, f"{name}_score")(several, predicted, average="macro", zero_division=0)
        assert values[name] == pytest.approx(reference, rel=1e-14)
    assert values["auroc"] == pytest.approx(theirs.roc_auc_score(several, scores), rel=1e-14)
    assert values["average_precision"] == pytest.approx(theirs.average_precision_score(several, scores), rel=1e-13)
    assert repr(found[1].as_dict("0123456789")) == repr(found[0].as_dict("0123456789"))


def test_shards_of_all_workers_come_in_the_order_of_the_split():
    two_rounds = [np.array([[0, 1], [4, 5]]), np.array([[2, 3], [6, 7]])]  # of two workers with two towers each
    assert outputs.in_order(two_rounds).tolist() == list(range(8))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_rank_says_whether_the_label_is_among_the_likeliest_classes(k):
    random = np.random.RandomState(3)
    labels, logits = random.randint(0, CLASSES, 200, np.int32), random.randn(200, CLASSES).astype(np.float32)
    hits = outputs.ranks(logits, labels).numpy() < k
    assert hits.mean() == theirs.top_k_accuracy_score(labels, logits, k=k, labels=range(CLASSES))


def test_of_equal_logits_the_lower_class_stands_first_and_with_a_nan_none_does():
    logits = np.array([[0.2, 0.4, 0.4], [0.4, 0.4, 0.2], [0.3, 0.3, 0.3], [0.1, np.nan, 0.3]], np.float32)
    for label, expected in enumerate([[2, 0, 0, 3], [0, 1, 1, 3], [1, 2, 2, 3]]):
        assert outputs.ranks(logits, np.full(4, label, np.int32)).numpy().tolist() == expected


def test_classes_are_ranked_by_logits_where_probabilities_are_all_0(parts):
    """Brightness 255 gives logits of hundreds: all probabilities but one are 0 in float32."""
    [kernel] = parts.initial().values()
    images = np.full([CLASSES, 28, 28, 1], 255, np.uint8)
    values = {name: 300 * value for name, value in parts.initial().items()}
    source = InMemory(images, np.arange(CLASSES, dtype=np.int32), tuple("0123456789"), "examples")
    sure = Evaluator(parts.model, assembly(1, model="models_for_tests:linear", optimizer="sgd").towers(values), 10)
    [judged] = sure.rounds(source, Kept(ranks=True, probabilities=True))
    assert (judged.outputs.probabilities == 0).sum() > 5 * CLASSES
    order = np.argsort(-kernel.sum(axis=0, dtype=np.float64))
    assert judged.outputs.ranks[0, order].tolist() == list(range(CLASSES))
