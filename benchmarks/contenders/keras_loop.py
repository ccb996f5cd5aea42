"""A loop by hand around a model and an optimizer of Keras: many steps in one tf.function, the data on the device.

Each batch is drawn with replacement.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from benchmarks.contenders import plain_keras
from benchmarks.examples import training_examples
from benchmarks.task import STEPS_PER_CALL, Task
from benchmarks.turns import Pause


def train(task: Task, pause: Pause) -> None:
    """Without XLA."""
    _train(task, pause, jit_compile=False)


def xla(task: Task, pause: Pause) -> None:
    """With every step compiled by XLA."""
    _train(task, pause, jit_compile=True)


def _train(task: Task, pause: Pause, jit_compile: bool) -> None:
    """Calls of STEPS_PER_CALL steps, a unit's worth at a time."""
    images, labels, num_classes = training_examples(task)
    model = plain_keras.model(task, images.shape[1:], num_classes)
    images, labels = (
        tf.constant(images, tf.float32) / 255,
        tf.constant(labels, tf.int64),
    )  # int32 would stay on the host
    call = _training_function(task, images, labels, _step(task, model, jit_compile))
    while True:
        for _ in range(task.round_steps // STEPS_PER_CALL):
            loss = call()
        pause(float(loss), plain_keras.num_parameters(model))


def _training_function(task: Task, images, labels, step: Callable) -> Callable[[], tf.Tensor]:
    @tf.function
    def call() -> tf.Tensor:
        loss = tf.constant(0.0)
        for _ in tf.range(STEPS_PER_CALL):
            chosen = tf.random.uniform([task.batch], maxval=len(labels), dtype=tf.int32)
            loss = step(tf.gather(images, chosen), tf.gather(labels, chosen))
        return loss

    return call


def _step(task: Task, model: keras.Model, jit_compile: bool) -> Callable[..., tf.Tensor]:
    """The function of one batch that updates the model and returns the loss."""
    optimizer = keras.optimizers.Adam(task.learning_rate)
    if task.precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    variables = model.trainable_variables
    optimizer.build(variables)
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(jit_compile=jit_compile)
    def step(images, labels) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = crossentropy(labels, model(images, training=True))
            scaled = optimizer.scale_loss(loss)  # the loss itself, unless the precision is float16
        optimizer.apply(tape.gradient(scaled, variables), variables)
        return loss

    return step
