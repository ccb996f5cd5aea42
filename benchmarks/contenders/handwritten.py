"""The deep convnet by hand: tf.nn, fused Adam, many steps in one tf.function, and the data in memory as float32.

No input pipeline, no Keras, no towers, no checks: what a careful programmer writes for this one model. Each batch is
drawn with replacement. In half precision the layers but the last compute in it, from copies of float32 variables.
"""

from collections.abc import Callable

import tensorflow as tf

from benchmarks.examples import training_examples
from benchmarks.task import STEPS_PER_CALL, Task
from benchmarks.turns import Pause

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
DROPOUT = 0.5
LOSS_SCALES = {"float16": 1024.0}  # a power of two, so that it changes no bit where nothing underflows


class Parameter:
    """A float32 variable and its two slots."""

    def __init__(self, *shape: int, bias: bool = False):
        self.variable = tf.Variable(tf.fill(shape, 0.1) if bias else tf.random.truncated_normal(shape, stddev=0.1))
        self.m, self.v = (tf.Variable(tf.zeros(shape)) for _ in range(2))


def train(task: Task, pause: Pause) -> None:
    """A convolution, bias, ReLU and pool in the usual form."""
    _train(task, pause, _usual)


def xla(task: Task, pause: Pause) -> None:
    """The usual form, with every step compiled by XLA."""
    _train(task, pause, _usual, jit_compile=True)


def pooled(task: Task, pause: Pause) -> None:
    """With the pipeline's own gradient of bias, ReLU and pool."""
    # Here, since it imports Keras, whose memory and time the contender above does without.
    from pipeline.models.layers import rectified_and_pooled

    def convolution(x, kernel, bias) -> tf.Tensor:
        return rectified_and_pooled(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)

    _train(task, pause, convolution)


def _usual(x, kernel, bias) -> tf.Tensor:
    return tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias), 2, 2, "SAME")


def _train(task: Task, pause: Pause, convolution: Callable, jit_compile: bool = False) -> None:
    """Calls of STEPS_PER_CALL steps, a round's worth at a time."""
    assert task.model == "convolutional", "this contender knows one model"
    images, labels, num_classes = training_examples(task)
    images, labels = (
        tf.constant(images, tf.float32) / 255,
        tf.constant(labels, tf.int64),
    )  # int32 would stay on the host
    parameters = _parameters(images.shape[1:], num_classes)
    call = _training_function(task, images, labels, parameters, convolution, jit_compile)
    while True:
        for _ in range(task.round_steps // STEPS_PER_CALL):
            loss = call()
        pause(float(loss), sum(p.variable.shape.num_elements() for p in parameters))


def _training_function(
    task: Task, images, labels, parameters: list[Parameter], convolution, jit_compile: bool
) -> Callable[[], tf.Tensor]:
    step = tf.Variable(0, dtype=tf.int64)

    def train_on(images, labels, count) -> tf.Tensor:
        loss, gradients = _gradients(task, parameters, images, labels, convolution)
        _apply(parameters, gradients, count, task.learning_rate)
        return loss

    train_on = tf.function(train_on, jit_compile=True) if jit_compile else train_on

    @tf.function
    def call() -> tf.Tensor:
        loss = tf.constant(0.0)
        for _ in tf.range(STEPS_PER_CALL):
            chosen = tf.random.uniform([task.batch], maxval=len(labels), dtype=tf.int32)
            batch = tf.gather(images, chosen), tf.gather(labels, chosen)
            loss = train_on(*batch, tf.cast(step.assign_add(1), tf.float32))
        return loss

    return call


def _parameters(image_shape, num_classes: int) -> list[Parameter]:
    height, width, channels = image_shape
    flat = -(-height // 4) * -(-width // 4) * 64
    shapes = [(5, 5, channels, 32), (5, 5, 32, 64), (flat, 1024), (1024, num_classes)]
    return [parameter for shape in shapes for parameter in (Parameter(*shape), Parameter(shape[-1], bias=True))]


def _gradients(task: Task, parameters: list[Parameter], images, labels, convolution):
    variables, scale = [p.variable for p in parameters], LOSS_SCALES.get(task.precision, 1.0)
    with tf.GradientTape() as tape:
        logits = _logits(convolution, task.dtype, images, *variables)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        scaled = loss * scale
    gradients = tape.gradient(scaled, variables)
    return loss, gradients if scale == 1 else [gradient / scale for gradient in gradients]


def _logits(convolution, dtype: str, images, conv1, bias1, conv2, bias2, fc1, bias3, fc2, bias4) -> tf.Tensor:
    half = lambda variable: tf.cast(variable, dtype)  # noqa: E731
    x = convolution(half(images), half(conv1), half(bias1))
    x = convolution(x, half(conv2), half(bias2))
    x = tf.nn.relu(tf.reshape(x, [-1, fc1.shape[0]]) @ half(fc1) + half(bias3))
    return tf.cast(tf.nn.dropout(x, DROPOUT), tf.float32) @ fc2 + bias4


def _apply(parameters: list[Parameter], gradients, count: tf.Tensor, learning_rate: float) -> None:
    """Adam's step number `count`, from 1 on."""
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
