import keras
import numpy as np
import pytest
from small_run import assembly

from pipeline.engine import evaluation
from pipeline.engine.evaluation import Evaluator
from pipeline.engine.tally import MISTAKES_KEPT, Scores, Tally
from pipeline.sources.labels import by_example
from pipeline.sources.memory import InMemory

NUM_EXAMPLES = 103  # a prime number, so that no batch and no number of towers divides it


@pytest.fixture(scope="module")
def parts():
    return assembly(8, model="models_for_tests:linear", optimizer="sgd", source="fake:100")


@pytest.fixture(scope="module")
def examples() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels; the further an example is from the first, the larger is its loss."""
    rows = np.arange(NUM_EXAMPLES * 28 * 28, dtype=np.int64).reshape(NUM_EXAMPLES, 28, 28, 1)
    brightness = np.linspace(0, 1, NUM_EXAMPLES)[:, None, None, None]
    return (rows * 2654435761 % 256 * brightness).astype(np.uint8), np.arange(NUM_EXAMPLES, dtype=np.int32) % 10


def tally(
    parts, examples, towers: int, shard_batch: int, variables: str = "replicated", multi_label: bool = False
) -> Tally:
    split = InMemory(*examples, class_names=tuple("0123456789"), name="examples")
    fewer = assembly(towers, model="models_for_tests:linear", optimizer="sgd", variables=variables)
    evaluator = Evaluator(parts.model, fewer.towers(parts.initial()), shard_batch, multi_label=multi_label)
    found = evaluator.tally(split)
    assert found is not None
    return found


def score(*arguments) -> Scores:
    return tally(*arguments).scores


def by_hand(parts, examples) -> tuple[np.ndarray, np.ndarray]:
    """Each example's loss and whether it is right, in float64."""
    images, labels = examples
    [kernel] = parts.initial().values()
    logits = images.reshape(len(images), -1) / 255 @ kernel.astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(labels)), labels], logits.argmax(axis=1) == labels


@pytest.mark.parametrize("shard_batch", [1, 10, NUM_EXAMPLES - 1, NUM_EXAMPLES, 200])
def test_every_example_counts_once(parts, examples, shard_batch):
    losses, right = by_hand(parts, examples)
    scores = score(parts, examples, 4, shard_batch)
    assert scores.loss == pytest.approx(losses.mean(), rel=1e-6)
    assert np.abs(losses / losses.sum()).min() > 1e-4  # so that one left out, or taken twice, would show above
    assert (scores.accuracy, scores.examples) == (right.sum() / NUM_EXAMPLES, NUM_EXAMPLES)
    assert 0 < right.sum() < NUM_EXAMPLES


def test_batches_of_large_images_hold_fewer():
    shapes = [(28, 28, 1), (56, 56, 3), (57, 57, 3), (128, 128, 3), (224, 224, 3), (225, 225, 3), (3000, 3000, 3)]
    assert [evaluation.batch_for(shape) for shape in shapes] == [500, 500, 256, 64, 32, 16, 1]
    assert [assembly(1, source="fake:9", image_size=size).eval_batch for size in ("28", "300x300")] == [500, 32]
    assert assembly(1, source="fake:9", image_size="300x300", eval_batch=7).eval_batch == 7


class Counted(InMemory):
    """Counts how often its decoding is traced."""

    traces = 0

    def decode(self, raw, window=None):
        self.traces += 1
        return super().decode(raw, window)


def test_an_evaluation_that_is_repeated_traces_nothing_anew_and_another_split_has_its_own(parts, examples):
    images, labels = examples
    ten = tuple("0123456789")
    whole, half = (Counted(images[:n], labels[:n], class_names=ten, name="") for n in (NUM_EXAMPLES, 50))
    evaluator = Evaluator(parts.model, parts.towers(parts.initial()), 10)
    first = evaluator(whole)
    traces = whole.traces
    assert evaluator(whole) == first and whole.traces == traces > 0
    assert evaluator(half).examples == 50 and evaluator(whole) == first


def test_the_same_numbers_on_any_number_of_towers(parts, examples):
    found = {towers: score(parts, examples, towers, 10) for towers in (1, 2, 3, 4, 8)}
    assert len(set(found.values())) == 1, found


def test_the_same_numbers_wherever_the_variables_lie(parts, examples):
    found = {mode: score(parts, examples, 2, 10, mode) for mode in ("replicated", "cpu", "first")}
    assert len(set(found.values())) == 1, found


def confusion_by_hand(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    counts = np.zeros([10, 10], np.int64)
    for label, taken_for in zip(labels, predicted, strict=True):
        counts[label, taken_for] += 1
    return counts


@pytest.mark.parametrize(("towers", "shard_batch"), [(1, 200), (2, 10), (3, 7), (8, 1)])
def test_the_tally_counts_every_example_under_its_class_and_the_one_it_was_taken_for(
    parts, examples, towers, shard_batch
):
    images, labels = examples
    [kernel] = parts.initial().values()
    probabilities = keras.ops.softmax(images.reshape(len(images), -1) / 255 @ kernel.astype(np.float64)).numpy()
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    found = tally(parts, examples, towers, shard_batch)
    np.testing.assert_array_equal(found.confusion, confusion_by_hand(predicted, labels))
    by_confidence = sorted(np.flatnonzero(predicted != labels), key=lambda i: (-confidence[i], i))
    assert [mistake.example for mistake in found.mistakes] == by_confidence[:MISTAKES_KEPT]
    for mistake in found.mistakes:
        assert (mistake.label, mistake.predicted) == (labels[mistake.example], predicted[mistake.example])
        assert mistake.confidence == pytest.approx(confidence[mistake.example], rel=1e-5)


def test_accuracy_by_class_leaves_out_classes_without_examples():
    confusion = np.array([[3, 1, 0], [0, 0, 0], [0, 2, 2]])
    assert Tally(np.zeros(1), confusion, (), 3).by_class(("ant", "bee", "cow")) == {"ant": 0.75, "cow": 0.5}


def test_the_same_tally_on_any_number_of_towers(parts, examples):
    first, *others = (tally(parts, examples, towers, 10) for towers in (1, 2, 3, 4, 8))
    for other in others:
        assert other.mistakes == first.mistakes  # to the bit of their confidence
        np.testing.assert_array_equal(other.confusion, first.confusion)
        assert other.scores == first.scores


def test_mistakes_of_equal_confidence_stand_in_the_order_of_their_examples(parts):
    images = np.full((40, 28, 28, 1), 200, np.uint8)
    labels = np.arange(40, dtype=np.int32) % 10
    found = tally(parts, (images, labels), 4, 3)
    [predicted] = {mistake.predicted for mistake in found.mistakes}
    wrong = [i for i in range(40) if i % 10 != predicted]
    assert [mistake.example for mistake in found.mistakes] == wrong[:MISTAKES_KEPT]


def test_one_example(parts, examples):
    one = tuple(part[70:71] for part in examples)
    losses, right = by_hand(parts, one)
    assert score(parts, one, 8, 10) == Scores(pytest.approx(losses[0], rel=1e-6), float(right[0]), 1)


def test_it_stops_between_two_rounds_when_asked(parts):
    evaluator = Evaluator(parts.model, parts.towers(parts.initial()), 2)
    answers = iter([False, False, True])
    assert evaluator(parts.splits.train, lambda: next(answers)) is None
    assert list(answers) == []
    assert evaluator(parts.splits.train) is not None  # and can be asked again


def test_probabilities_are_the_softmax_of_every_image(parts, examples):
    images, _ = examples
    [kernel] = parts.initial().values()
    exps = np.exp(images.reshape(len(images), -1) / 255 @ kernel.astype(np.float64))
    found = evaluation.probabilities(parts.model, parts.towers(parts.initial()), images, batch=10)
    np.testing.assert_allclose(found, exps / exps.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def several() -> tuple[np.ndarray, np.ndarray]:
    """Which of ten classes each example has, none for some; and the same as a source has it."""
    has = np.arange(NUM_EXAMPLES)[:, None] * 7 % (np.arange(10) + 2) == 0
    has[::5] = False
    counts = has.sum(axis=1)
    return has, by_example(np.nonzero(has)[1].astype(np.int32), counts)


@pytest.mark.parametrize(("towers", "shard_batch"), [(1, 200), (2, 10), (3, 7)])
def test_the_tally_of_examples_of_several_labels(parts, examples, several, towers, shard_batch):
    images, (has, labels) = examples[0], several
    [kernel] = parts.initial().values()
    logits = images.reshape(len(images), -1) / 255 @ kernel.astype(np.float64)
    p = 1 / (1 + np.exp(-logits))
    says, losses = p > 0.5, -np.where(has, np.log(p), np.log(1 - p)).mean(axis=1)
    right = (says == has).all(axis=1)
    found = tally(parts, (images, labels), towers, shard_batch, multi_label=True)
    assert found.scores.loss == pytest.approx(losses.mean(), rel=1e-6)
    assert (found.scores.accuracy, found.wrong) == (right.mean(), (~right).sum())
    assert 0 < found.wrong < NUM_EXAMPLES
    counts = [[(~has & ~says).sum(0), (~has & says).sum(0)], [(has & ~says).sum(0), (has & says).sum(0)]]
    np.testing.assert_array_equal(found.confusion, np.moveaxis(counts, 2, 0))
    names = tuple("abcdefghij")
    assert found.by_class(names) == dict(zip(names, (says == has).mean(axis=0), strict=True))
    off = np.where(says == has, 0, np.where(says, p, 1 - p))
    worst = sorted(np.flatnonzero(~right), key=lambda i: -off[i].max())[:MISTAKES_KEPT]
    assert [mistake.example for mistake in found.mistakes] == worst
    for mistake in found.mistakes:
        c = off[mistake.example].argmax()
        answers = (c, c + 10) if has[mistake.example, c] else (c + 10, c)
        assert (mistake.label, mistake.predicted) == answers
        assert mistake.confidence == pytest.approx(off[mistake.example, c], rel=1e-5)
    assert found.answers(names)[12] == "not c"


def test_the_same_tally_of_several_labels_on_any_number_of_towers(parts, examples, several):
    first, *others = (tally(parts, (examples[0], several[1]), k, 10, multi_label=True) for k in (1, 2, 3, 8))
    for other in others:
        assert (other.scores, other.mistakes) == (first.scores, first.mistakes)
        np.testing.assert_array_equal(other.confusion, first.confusion)
