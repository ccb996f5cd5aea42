"""The classic loop of TensorFlow 1 through tf.compat.v1: placeholders, a session, and a feed_dict at every step."""

import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from benchmarks import arrays
from benchmarks.task import Task
from benchmarks.turns import Pause

v1 = tf.compat.v1


def train(task: Task, pause: Pause) -> None:
    """A session's run for every step."""
    assert (task.model, task.precision) == ("convolutional", "float32"), "this contender knows one model"
    v1.disable_v2_behavior()
    images, labels = arrays.read(task.arrays)
    x, y = v1.placeholder(tf.float32, [None, *images.shape[1:]]), v1.placeholder(tf.int32, [None])
    keep_prob = v1.placeholder(tf.float32)
    loss = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(y, _logits(x, int(labels.max()) + 1, keep_prob))
    )
    train_step = v1.train.AdamOptimizer(task.learning_rate).minimize(loss)
    num_parameters = sum(variable.shape.num_elements() for variable in v1.trainable_variables())
    options = v1.ConfigProto(gpu_options=v1.GPUOptions(allow_growth=True))
    with v1.Session(config=options) as session:
        session.run(v1.global_variables_initializer())
        batches = _batches(images, labels, task.batch)
        while True:
            for _ in range(task.round_steps):
                xs, ys = next(batches)
                _, value = session.run((train_step, loss), feed_dict={x: xs, y: ys, keep_prob: 0.5})
            pause(float(value), num_parameters)


def _logits(x, num_classes: int, keep_prob):
    for filters in (32, 64):
        x = tf.nn.relu(tf.nn.conv2d(x, _weight(5, 5, x.shape[-1], filters), 1, "SAME") + _bias(filters))
        x = tf.nn.max_pool2d(x, 2, 2, "SAME")
    x = tf.reshape(x, [-1, math.prod(x.shape[1:])])
    x = tf.nn.relu(x @ _weight(x.shape[-1], 1024) + _bias(1024))
    return v1.nn.dropout(x, rate=1 - keep_prob) @ _weight(1024, num_classes) + _bias(num_classes)


def _weight(*shape):
    return v1.Variable(v1.truncated_normal(shape, stddev=0.1))


def _bias(size: int):
    return v1.Variable(tf.constant(0.1, shape=[size]))


def _batches(images: np.ndarray, labels: np.ndarray, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As the tutorial's `next_batch`: slices of arrays in memory that are shuffled at every epoch."""
    scaled, generator = images.astype(np.float32) / 255, np.random.default_rng(1)
    while True:
        order = generator.permutation(len(labels))
        scaled, labels = scaled[order], labels[order]
        for start in range(0, len(labels) - batch + 1, batch):
            yield scaled[start : start + batch], labels[start : start + batch]
