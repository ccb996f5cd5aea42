"""Examples as arrays, for contenders that do not read them through the pipeline."""

import numpy as np
import tensorflow as tf

from benchmarks import arrays
from benchmarks.task import Task
from pipeline import sources
from pipeline.config import Config
from pipeline.sources.base import Source

_BLOCK = 1000  # examples decoded at a time


def training_examples(task: Task) -> tuple[np.ndarray, np.ndarray, int]:
    """Images [n, height, width, channels] uint8, labels [n] int32, and the number of classes.

    They come from the task's file, if it has one, which spares the decoding.
    """
    if task.arrays:
        images, labels = arrays.read(task.arrays)
        return images, labels, int(labels.max()) + 1
    return decoded(task)


def decoded(task: Task) -> tuple[np.ndarray, np.ndarray, int]:
    """The same from the source."""
    with tf.device("/cpu:0"):
        config = Config(source=task.source, data_dir=task.data_dir, image_size=str(task.image_size))
        train = sources.open_splits(config).train
        return *whole(train), len(train.class_names)


def whole(split: Source) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, height, width, channels] uint8 and labels [n] int32 of all examples of a split."""
    decoded_by = tf.function(lambda indices: split.decode(split.fetch(indices)[0]), autograph=False)
    indices = np.arange(len(split))
    blocks = [decoded_by(tf.constant(block)) for block in np.split(indices, indices[_BLOCK::_BLOCK])]
    return tf.concat(blocks, 0).numpy(), split.fetch(tf.constant(indices))[1].numpy()
