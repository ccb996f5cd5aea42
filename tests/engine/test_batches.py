import itertools

import numpy as np
import pytest
import tensorflow as tf

from pipeline import augment, sources
from pipeline.config import Config
from pipeline.engine import chunked_map
from pipeline.engine.batches import Batches
from pipeline.engine.plan import Plan
from pipeline.engine.sampling import Balanced

SHARDS = range(4)
AUGMENTATION = augment.parse("resize_crop:0.5,shift:2,flip")


@pytest.fixture(scope="module")
def batches() -> Batches:
    """Batches of 12 from 50 examples, so that steps run across the ends of epochs."""
    source = sources.open_splits(Config(source="fake:60", validation_fraction=1 / 6)).train
    return Batches(Plan(seed=3, global_batch=12, grad_shards=4, num_examples=len(source)), source, AUGMENTATION)


def taken(dataset, count: int) -> list:
    return [(images.numpy(), labels.numpy()) for images, labels in itertools.islice(dataset, count)]


def assert_same(left, right) -> None:
    for (images, labels), (other_images, other_labels) in zip(left, right, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def test_shapes_and_types(batches):
    images, labels = batches.at(0, range(1, 3))
    assert (images.shape, images.dtype.name) == ([2, 3, 28, 28, 1], "uint8")
    assert (labels.shape, labels.dtype.name) == ([2, 3], "int64")


@pytest.mark.parametrize("chunk_bytes", [1, 5 * 784, 2**40])
def test_a_dataset_is_what_its_steps_are_in_whatever_chunks_it_is_computed(batches, chunk_bytes, monkeypatch):
    monkeypatch.setattr(chunked_map, "CHUNK_BYTES", chunk_bytes)
    dataset = batches.dataset(2, range(1, 4))
    assert [spec.shape for spec in dataset.element_spec] == [[3, 3, 28, 28, 1], [3, 3]]
    assert_same(taken(dataset, 5), [tuple(map(np.array, batches.at(step, range(1, 4)))) for step in range(2, 7)])


def test_a_dataset_from_any_step_is_the_tail_of_the_one_from_the_first(batches):
    whole = taken(batches.dataset(0, SHARDS), 9)
    for step in range(9):
        assert_same(taken(batches.dataset(step, SHARDS), 9 - step), whole[step:])


def test_a_dataset_is_what_every_step_says_by_itself(batches):
    for step, (images, labels) in enumerate(taken(batches.dataset(5, SHARDS), 3), start=5):
        assert_same([(images, labels)], [[part.numpy() for part in batches.at(step, SHARDS)]])


@pytest.mark.parametrize("towers", [2, 4])
def test_the_towers_shards_together_are_the_whole_batch(batches, towers):
    each = len(SHARDS) // towers
    parts = [batches.at(7, range(tower * each, (tower + 1) * each)) for tower in range(towers)]
    together = [np.concatenate([part[i].numpy() for part in parts]) for i in range(2)]
    assert_same([together], [[part.numpy() for part in batches.at(7, SHARDS)]])


def test_an_epoch_holds_every_example_of_the_source_once():
    source = sources.open_splits(Config(source="fake:60", validation_fraction=1 / 6)).train
    plain = Batches(Plan(seed=3, global_batch=10, grad_shards=2, num_examples=50), source)
    found = np.concatenate([images.reshape(10, -1) for images, _ in taken(plain.dataset(5, range(2)), 5)])
    expected = source.decode(source.fetch(tf.range(50, dtype=tf.int64))[0]).numpy().reshape(50, -1)
    assert sorted(map(bytes, found)) == sorted(map(bytes, expected))
    assert len(set(map(bytes, found))) == 50


def test_an_image_is_augmented_by_its_position_whatever_batch_it_is_in():
    """The same positions in a batch of 12 and in one of 24 are the same images, and not those without augmentation."""
    source = sources.open_splits(Config(source="fake:60", validation_fraction=1 / 6)).train
    plans = [Plan(seed=3, global_batch=batch, grad_shards=1, num_examples=50) for batch in (12, 24)]
    small, large = [Batches(plan, source, AUGMENTATION) for plan in plans]
    halves = [small.at(step, range(1))[0].numpy()[0] for step in (4, 5)]
    whole = large.at(2, range(1))[0].numpy()[0]
    np.testing.assert_array_equal(np.concatenate(halves), whole)
    assert (Batches(plans[1], source).at(2, range(1))[0].numpy()[0] != whole).any()


@pytest.mark.parametrize("balanced", [False, True])
def test_an_example_shows_its_two_sides_in_turn(balanced):
    """All of an epoch's batches together, by hand: each image is its example, or the mirror image of it."""
    source = sources.open_splits(Config(source="fake:60", validation_fraction=1 / 6)).train
    classes = np.minimum(np.arange(50) // 4, 9).astype(np.int32)  # nine of four examples and one of 14
    sampling = Balanced(classes, source.class_names) if balanced else None
    size = 140 if balanced else 50
    plan = Plan(seed=3, global_batch=size, grad_shards=1, num_examples=50, sampling=sampling)
    batches = Batches(plan, source, augment.parse("alternating_flip"))
    examples = source.decode(source.fetch(tf.range(50, dtype=tf.int64))[0]).numpy()
    sides = []
    for epoch in range(3):
        indices = plan.indices(plan.positions(epoch, range(1))).numpy()
        shown = batches.at(epoch, range(1))[0].numpy()[0]
        sides.append({})
        for index, image in zip(indices, shown, strict=True):
            mirrored = np.array_equal(image, examples[index, :, ::-1])
            assert mirrored or np.array_equal(image, examples[index])
            assert sides[-1].setdefault(index, mirrored) == mirrored
    first, second, third = sides
    assert all(second[index] != first[index] for index in first.keys() & second.keys())
    assert all(third[index] == first[index] for index in first.keys() & third.keys())
    assert 11 <= sum(first.values()) * 50 / len(first) <= 39  # half of 50, give or take four standard deviations


@pytest.mark.parametrize("chunk_bytes", [1, 5 * 784, 2**40])
def test_pairs_are_mixed_alike_on_any_tower_in_whatever_chunks(chunk_bytes, monkeypatch):
    """By hand from the images without mixup, whose order the partner's position is."""
    monkeypatch.setattr(chunked_map, "CHUNK_BYTES", chunk_bytes)
    source = sources.open_splits(Config(source="fake:60", validation_fraction=1 / 6)).train
    plan, mixing = Plan(seed=3, global_batch=12, grad_shards=3, num_examples=50), augment.parse("flip,mixup:1,cutmix:1")
    mixed, plain = Batches(plan, source, mixing, augmented_steps=2), Batches(plan, source, mixing[:1])
    images, labels = (part.numpy().reshape(12, *part.shape[2:]) for part in plain.at(1, range(3)))
    positions = plan.positions(1, range(3))
    expected = [part.numpy() for part in augment.mixed(mixing, images, labels, positions, 3, 10)]
    assert (expected[0] != images).any()
    for shards in (range(3), range(1), range(1, 3)):
        (_, (found, shares), (later, certain)) = taken(mixed.dataset(0, shards), 3)
        where = slice(shards.start * 4, shards.stop * 4)
        np.testing.assert_array_equal(found.reshape(-1, 28, 28, 1), expected[0][where])
        np.testing.assert_array_equal(shares.reshape(-1, 10), expected[1][where])
        original, labels = (part.numpy() for part in Batches(plan, source).at(2, shards))
        np.testing.assert_array_equal(later, original)
        np.testing.assert_array_equal(certain, np.eye(10)[labels])


def test_augmentation_ends_after_its_steps():
    """Steps 0 to 2 as with augmentation, 3 and 4 as without: each by itself, and in datasets from either side."""
    source = sources.open_splits(Config(source="fake:60", validation_fraction=1 / 6)).train
    plan = Plan(seed=3, global_batch=12, grad_shards=4, num_examples=50)
    ending = Batches(plan, source, AUGMENTATION, augmented_steps=3)
    augmented, plain = (
        taken(batches.dataset(0, SHARDS), 5) for batches in (Batches(plan, source, AUGMENTATION), Batches(plan, source))
    )
    expected = [*augmented[:3], *plain[3:]]
    assert_same([tuple(map(np.array, ending.at(step, SHARDS))) for step in range(5)], expected)
    for first in (0, 2, 3, 4):
        assert_same(taken(ending.dataset(first, SHARDS), 5 - first), expected[first:])
    assert all((left[0] != right[0]).any() for left, right in zip(augmented, plain, strict=True))
