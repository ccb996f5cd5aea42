"""Batches come out alike and in order, in however many chunks they were computed."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.engine import chunked_map


def squares(number, numbers):
    """Two tensors that tell which batch and which examples were asked for."""
    return 100 * number + numbers, tf.stack([numbers, numbers**2], axis=1)


@pytest.mark.parametrize(
    ("size", "image_bytes", "chunk_bytes", "chunk"),
    [(12, 1, 100, 12), (12, 10, 100, 6), (12, 50, 100, 2), (12, 101, 100, 1), (7, 50, 100, 1), (1, 1, 1, 1)],
)
def test_chunks(size, image_bytes, chunk_bytes, chunk, monkeypatch):
    monkeypatch.setattr(chunked_map, "CHUNK_BYTES", chunk_bytes)
    asked = []

    def of(number, numbers):
        asked.append(numbers.shape[0])
        return squares(number, numbers)

    dataset = chunked_map.dataset(3, 6, size, image_bytes, of)
    assert set(asked) == {chunk}
    assert [spec.shape for spec in dataset.element_spec] == [[size], [size, 2]]
    found = list(dataset.as_numpy_iterator())
    assert len(found) == 3
    for number, (first, second) in enumerate(found, start=3):
        np.testing.assert_array_equal(first, 100 * number + np.arange(size))
        np.testing.assert_array_equal(second, np.stack([np.arange(size), np.arange(size) ** 2], axis=1))


def test_a_late_start_is_as_quick_as_an_early_one():
    """Nothing before the first batch is computed, so that this ends at all."""
    first = 2**31 - 2
    dataset = chunked_map.dataset(first, first + 1, 4, 1, squares)
    assert [batch[0].tolist() for batch in dataset.as_numpy_iterator()] == [[100 * first + i for i in range(4)]]
