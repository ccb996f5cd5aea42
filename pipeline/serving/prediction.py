"""The probabilities of many images: decoded in parallel, computed on every tower, in batches of one shape.

Every image is computed in a batch of one size, padded with zeros. So the probabilities of an image do not depend on the
other images or on their number.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pipeline.engine import failures, forward, losses
from pipeline.engine.towers import Towers
from pipeline.errors import BadDataError
from pipeline.serving.images import Images

_PADDING = -1  # in place of an index


class Predictions(NamedTuple):
    """The probabilities of the images that could be read, in order, and an error for each of the others."""

    indices: list[int]
    probabilities: np.ndarray  # [len(indices), classes] float32
    refused: list[BadDataError]


class Predictor:
    """A model on towers that predicts the classes of images."""

    def __init__(self, model: keras.Model, towers: Towers, batch: int, multi_label: bool = False):
        """multi_label: each class has a probability of its own."""
        self._model, self._towers, self._batch = model, towers, batch
        self._loss = losses.plain(multi_label)
        self._compute = tf.function(self._compute_round, autograph=False)

    def __call__(self, images: Images, skip_unreadable: bool) -> Predictions:
        """The probabilities of all images that can be read.

        Raises BadDataError for the first image that cannot be read, unless such images are to be skipped.
        """
        rows: dict[int, np.ndarray] = {}
        for expected, indices, probabilities in self._rounds(images):
            rows |= {int(i): row for i, row in zip(indices, probabilities, strict=True) if i != _PADDING}
            missing = [] if skip_unreadable else [i for i in expected if i not in rows]
            if missing:
                raise BadDataError(f"{images.refusal(missing[0])}, or leave such files out by --skip_unreadable")
        readable = sorted(rows)
        refused = [images.refusal(i) for i in range(len(images)) if i not in rows]
        return Predictions(readable, np.stack([rows[i] for i in readable]) if readable else np.zeros([0, 0]), refused)

    def _rounds(self, images: Images) -> Iterator[tuple[range, np.ndarray, np.ndarray]]:
        """Rounds of a batch for every tower: the images it should hold, the indices it holds, and the probabilities."""
        num_towers = len(self._towers)
        iterators = self._towers.iterators([self._dataset(images, tower) for tower in range(num_towers)])
        each = self._batch * num_towers
        for start in range(0, len(images), each):
            with failures.explained("eval_batch"):
                indices, probabilities = self._compute(iterators)
            yield range(start, min(start + each, len(images))), indices.numpy(), probabilities.numpy()

    def _dataset(self, images: Images, tower: int) -> tf.data.Dataset:
        """One tower's batches, every num_towers-th: indices [batch], images [batch, h, w, c]; then endless padding."""
        everything = np.arange(len(images))
        own = images.dataset(everything[everything // self._batch % len(self._towers) == tower])
        blank = tf.zeros(own.element_spec[1].shape, tf.uint8)
        padding = tf.data.Dataset.from_tensors((tf.constant(_PADDING, tf.int64), blank)).repeat()
        return own.concatenate(padding).batch(self._batch, drop_remainder=True)

    def _compute_round(self, iterators: Sequence[tf.data.Iterator]) -> tuple[tf.Tensor, tf.Tensor]:
        """The next batch of every tower: indices [num_towers * batch], probabilities [num_towers * batch, classes]."""
        indices, probabilities = [], []
        for tower, iterator in enumerate(iterators):
            parameters, statistics = self._towers.read(tower)
            index, pictures = self._towers.next_of(tower, iterator)
            with self._towers.on(tower):
                indices.append(index)
                given = parameters, statistics, pictures, self._loss, self._towers.topology.all_on_cpu
                probabilities.append(forward.probabilities(self._model, *given))
        with self._towers.on_host():
            return tf.concat(indices, 0), tf.concat(probabilities, 0)
