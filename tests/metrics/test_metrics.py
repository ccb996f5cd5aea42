"""The metrics against scikit-learn's and SciPy's, on labels and scores with ties, gaps and imbalance."""

import functools
import math

import numpy as np
import pytest
from lazily import Module

from pipeline.errors import UsageError
from pipeline.metrics import calibration, counts, intervals, names, ranking, summary

theirs, stats = Module("sklearn.metrics"), Module("scipy.stats")
EXAMPLES, CLASSES = 400, 7


def drawn(seed: int, classes: int = CLASSES, rounded: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Skewed labels [n] and probabilities [n, classes] that know a little of them; rounded: with many equal scores."""
    random = np.random.RandomState(seed)
    labels = np.minimum(random.geometric(0.35, EXAMPLES) - 1, classes - 1).astype(np.int32)
    logits = random.randn(EXAMPLES, classes) + 1.2 * np.eye(classes)[labels]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, (np.round(scores, 1) if rounded else scores).astype(np.float32)


def counts_of(labels, predicted, classes: int = CLASSES) -> counts.Counts:
    return counts.of_confusion(theirs.confusion_matrix(labels, predicted, labels=range(classes)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", names.OF_COUNTS)
def test_precision_recall_and_f1_by_class_and_averaged(name, seed):
    labels, scores = drawn(seed)
    predicted = scores.argmax(axis=1)
    predicted[predicted == 1] = 0  # class 1 is never predicted
    labels[labels == 2] = 0  # class 2 has no examples
    labels[labels == 3], predicted[predicted == 3] = 0, 4  # class 3 has neither
    score = functools.partial(getattr(theirs, f"{name}_score"), labels, predicted, zero_division=0)
    reference = {kind: score(average=kind) for kind in ("macro", "weighted", "micro")}
    found = summary.summarize((name,), EXAMPLES, counts_of(labels, predicted))
    assert found.averages[name] == pytest.approx(reference, rel=1e-14)
    assert math.isnan(found.by_class[name][3])
    np.testing.assert_allclose(np.delete(found.by_class[name], 3), score(average=None), rtol=1e-14)


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_auroc_and_average_precision_of_each_class_against_the_rest(seed, rounded):
    labels, scores = drawn(seed, rounded=rounded)
    found = [ranking.rank_class(labels == c, scores[:, c]) for c in range(CLASSES)]
    for c, (auroc, precision) in enumerate(found):
        assert auroc == pytest.approx(theirs.roc_auc_score(labels == c, scores[:, c]), rel=1e-13)
        assert precision == pytest.approx(theirs.average_precision_score(labels == c, scores[:, c]), rel=1e-13)
    means = summary.summarize(names.OF_SCORES, EXAMPLES, counts_of(labels, scores.argmax(axis=1)), found).averages
    indicators = np.eye(CLASSES, dtype=int)[labels]
    for kind in ("macro", "weighted"):
        assert means["auroc"][kind] == pytest.approx(theirs.roc_auc_score(indicators, scores, average=kind))
        reference = theirs.average_precision_score(indicators, scores, average=kind)
        assert means["average_precision"][kind] == pytest.approx(reference)


def test_several_labels_an_example():
    random = np.random.RandomState(5)
    labels = random.rand(EXAMPLES, CLASSES) < np.linspace(0.05, 0.6, CLASSES)
    scores = (0.4 * labels + random.rand(EXAMPLES, CLASSES) * 0.6).astype(np.float32)
    found = summary.summarize(
        names.BY_CLASS,
        EXAMPLES,
        counts.of_confusion(theirs.multilabel_confusion_matrix(labels, scores > 0.5)),
        [ranking.rank_class(labels[:, c], scores[:, c]) for c in range(CLASSES)],
    )
    for name in names.OF_COUNTS:
        score = getattr(theirs, f"{name}_score")
        for kind in ("macro", "weighted", "micro"):
            assert found.averages[name][kind] == pytest.approx(score(labels, scores > 0.5, average=kind), rel=1e-13)
        np.testing.assert_allclose(found.by_class[name], score(labels, scores > 0.5, average=None), rtol=1e-14)
    assert found.values["auroc"] == pytest.approx(theirs.roc_auc_score(labels, scores))
    assert found.values["average_precision"] == pytest.approx(theirs.average_precision_score(labels, scores))


def test_the_order_of_examples_does_not_matter_to_the_bit():
    labels, scores = drawn(0, rounded=True)
    order = np.random.RandomState(1).permutation(EXAMPLES)
    for c in range(CLASSES):
        assert ranking.rank_class(labels == c, scores[:, c]) == ranking.rank_class(
            (labels == c)[order], scores[order, c]
        )


def test_scores_that_have_no_ranking_give_nan():
    none, all_, some = np.zeros(4, bool), np.ones(4, bool), np.array([True, False, True, False])
    scores = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    assert [math.isnan(value) for value in ranking.rank_class(none, scores)] == [True, True]
    assert (
        math.isnan(ranking.rank_class(all_, scores).auroc) and ranking.rank_class(all_, scores).average_precision == 1
    )
    assert all(map(math.isnan, ranking.rank_class(some, np.array([0.1, np.nan, 0.3, 0.4], np.float32))))


@pytest.mark.parametrize("rounded", [False, True])
def test_calibration_error(rounded):
    labels, scores = drawn(4, rounded=rounded)
    scores = np.minimum(scores, np.float32(1))
    right, confidence = scores.argmax(axis=1) == labels, scores.max(axis=1)
    accuracy, mean = Module("sklearn.calibration").calibration_curve(right, confidence, n_bins=calibration.NUM_BINS)
    found = calibration.calibrate(confidence, right)
    held = found.examples > 0
    np.testing.assert_allclose(found.right[held] / found.examples[held], accuracy, rtol=1e-14)
    np.testing.assert_allclose(found.confidence[held] / found.examples[held], mean, rtol=1e-14)
    assert found.error == pytest.approx((found.examples[held] * np.abs(accuracy - mean)).sum() / EXAMPLES, rel=1e-13)
    assert found.error > 0.01 and found.examples.sum() == EXAMPLES
    edges = [interval["up_to"] for interval in found.as_dict()["bins"]]
    assert all(edge - 1 / calibration.NUM_BINS < value <= edge for edge, value in zip(edges, mean, strict=True))


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 50), (50, 50), (3, 10), (9_000, 10_000)])
def test_intervals(successes, trials):
    low, high = stats.binomtest(successes, trials).proportion_ci(0.95, "wilson")
    assert intervals.wilson(successes, trials) == (pytest.approx(low, abs=1e-15), pytest.approx(high, rel=1e-14))


def test_the_worst_pairs_are_the_most_frequent_mistakes():
    confusion = np.array([[50, 3, 0], [3, 10, 7], [1, 0, 0]])
    pairs = counts.worst_pairs(confusion, 3)
    assert pairs == [(1, 2, 7, 0.35), (0, 1, 3, 3 / 53), (1, 0, 3, 0.15)]
    assert counts.worst_pairs(np.diag([1, 2, 3]), 3) == []


def test_a_condensed_confusion_matrix_holds_the_worst_pairs_and_every_example_once():
    random = np.random.RandomState(2)
    confusion = np.diag(random.randint(40, 50, 1000)) + random.binomial(1, 0.001, (1000, 1000))
    confusion[700, 30], confusion[30, 700], confusion[5, 999] = 25, 24, 23
    classes, matrix, accuracies = counts.condensed(confusion, 20)
    assert classes[:4] == [700, 30, 5, 999] and len(set(classes)) == len(classes) <= 20
    np.testing.assert_array_equal(matrix[:-1, :-1], confusion[np.ix_(classes, classes)])
    others = np.delete(np.arange(1000), classes)
    np.testing.assert_array_equal(matrix[:-1, -1], confusion[np.ix_(classes, others)].sum(axis=1))
    np.testing.assert_array_equal(matrix[-1, :-1], confusion[np.ix_(others, classes)].sum(axis=0))
    assert matrix.sum() == confusion.sum() and matrix[-1, -1] == confusion[np.ix_(others, others)].sum()
    assert accuracies[0] == confusion[700, 700] / confusion[700].sum()
    assert accuracies[-1] == confusion.diagonal()[others].sum() / confusion[others].sum()
    assert counts.condensed(np.diag([3, 0, 2]), 20).accuracies.tolist() == [1]


def test_names():
    assert names.parse("") == () and names.parse("f1,top5") == ("f1", "top5")
    assert names.settled(("f1", "top20", "top3"), 20) == ("top3", "top20", "f1")
    assert names.settled(("all",), 10) == ("top5", *names.BY_CLASS, "calibration_error")
    assert names.settled(("all",), 5) == (*names.BY_CLASS, "calibration_error")
    assert names.settled(("all",), 5, multi_label=True) == names.BY_CLASS


@pytest.mark.parametrize(
    ("text", "classes", "several", "line"),
    [
        ("auc", 10, False, "metrics: 'auc' is unknown; did you mean auroc? known: topK, precision, recall, f1, auroc,"),
        ("top0", 10, False, "metrics: 'top0' is unknown;"),
        ("f1,top5,f1", 10, False, "metrics=f1,top5,f1 names f1 twice; give each metric once"),
        ("all,f1", 10, False, "metrics=all,f1 has all and more; give --metrics=all, or name each metric"),
        (
            "top11",
            10,
            False,
            "metrics=top11 takes the 11 likeliest classes, and the data has 10; use a K of 10 at most",
        ),
        (
            "f1,top5",
            10,
            True,
            "metrics=top5 is of data with one label an example, and --multi_label data has several; use prec",
        ),
    ],
)
def test_metrics_that_the_data_does_not_have_are_refused(text, classes, several, line):
    with pytest.raises(UsageError) as caught:
        names.settled(names.parse(text), classes, several)
    assert str(caught.value).startswith(line)
