"""The training examples as arrays, for contenders that do not read them through the pipeline."""

import numpy as np
import tensorflow as tf

from benchmarks.task import Task
from pipeline import sources
from pipeline.config import Config


def training_examples(task: Task) -> tuple[np.ndarray, np.ndarray, int]:
    """Images [n, height, width, channels] uint8, labels [n] int32, and the number of classes."""
    train = sources.open_splits(Config(source=task.source, data_dir=task.data_dir)).train
    raw, labels = train.fetch(tf.range(len(train), dtype=tf.int64))
    return train.decode(raw).numpy(), labels.numpy(), len(train.class_names)
