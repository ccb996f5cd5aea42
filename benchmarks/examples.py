"""The training examples as arrays, for contenders that do not read them through the pipeline."""

import numpy as np
import tensorflow as tf

from benchmarks import arrays
from benchmarks.task import Task
from pipeline import sources
from pipeline.config import Config


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
        raw, labels = train.fetch(tf.range(len(train), dtype=tf.int64))
        return train.decode(raw).numpy(), labels.numpy(), len(train.class_names)
