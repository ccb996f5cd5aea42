"""The deep convnet by hand: tf.nn, fused Adam, many steps in one tf.function, and the data in memory as float32.

No input pipeline, no Keras, no towers, no checks: what a careful programmer writes for this one model. Each batch is
drawn with replacement.
"""

from collections.abc import Callable

import tensorflow as tf

from benchmarks.examples import training_examples
from benchmarks.task import STEPS_PER_CALL, Task

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
DROPOUT = 0.5


class Parameter:
    """A variable and its two slots."""

    def __init__(self, *shape: int, bias: bool = False):
        self.variable = tf.Variable(tf.fill(shape, 0.1) if bias else tf.random.truncated_normal(shape, stddev=0.1))
        self.m, self.v = (tf.Variable(tf.zeros(shape)) for _ in range(2))


def convolution(x, kernel, bias) -> tf.Tensor:
    """A convolution, bias, ReLU and pool, as everyone writes them."""
    return tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias), 2, 2, "SAME")


def train(task: Task, pause: Callable[[], None], convolution: Callable = convolution) -> None:
    """Calls of STEPS_PER_CALL steps, a round's worth at a time."""
    assert task.model == "convolutional", "this contender knows one model"
    images, labels, num_classes = training_examples(task)
    call = _training_function(
        task, tf.constant(images, tf.float32) / 255, tf.constant(labels), num_classes, convolution
    )
    while True:
        for _ in range(task.round_steps // STEPS_PER_CALL):
            loss = call()
        loss.numpy()
        pause()


def _training_function(task: Task, images, labels, num_classes: int, convolution: Callable) -> Callable[[], tf.Tensor]:
    parameters = _parameters(images.shape[1:], num_classes)
    step = tf.Variable(0, dtype=tf.int64)

    @tf.function
    def call() -> tf.Tensor:
        loss = tf.constant(0.0)
        for _ in tf.range(STEPS_PER_CALL):
            chosen = tf.random.uniform([task.batch], maxval=len(labels), dtype=tf.int32)
            batch = tf.gather(images, chosen), tf.gather(labels, chosen)
            loss = _step(parameters, *batch, step, task.learning_rate, convolution)
        return loss

    return call


def _parameters(image_shape, num_classes: int) -> list[Parameter]:
    height, width, channels = image_shape
    flat = -(-height // 4) * -(-width // 4) * 64
    shapes = [(5, 5, channels, 32), (5, 5, 32, 64), (flat, 1024), (1024, num_classes)]
    return [parameter for shape in shapes for parameter in (Parameter(*shape), Parameter(shape[-1], bias=True))]


def _step(
    parameters: list[Parameter], images, labels, step: tf.Variable, learning_rate: float, convolution
) -> tf.Tensor:
    variables = [p.variable for p in parameters]
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, _logits(convolution, images, *variables))
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, variables)
    count = tf.cast(step.assign_add(1), tf.float32)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        tf.raw_ops.ResourceApplyAdam(
            var=parameter.variable.handle,
            m=parameter.m.handle,
            v=parameter.v.handle,
            beta1_power=BETA_1**count,
            beta2_power=BETA_2**count,
            lr=learning_rate,
            beta1=BETA_1,
            beta2=BETA_2,
            epsilon=EPSILON,
            grad=gradient,
        )
    return loss


def _logits(convolution, images, conv1, bias1, conv2, bias2, fc1, bias3, fc2, bias4) -> tf.Tensor:
    x = convolution(images, conv1, bias1)
    x = convolution(x, conv2, bias2)
    x = tf.nn.relu(tf.reshape(x, [-1, fc1.shape[0]]) @ fc1 + bias3)
    return tf.nn.dropout(x, DROPOUT) @ fc2 + bias4
