"""tf.distribute.MirroredStrategy, with a handwritten loop and with Keras' fit; and that loop over several workers."""

import keras
import tensorflow as tf

from benchmarks.contenders import keras_fit, plain_keras
from benchmarks.examples import training_examples
from benchmarks.task import STEPS_PER_CALL, Task
from benchmarks.turns import Pause
from pipeline.text import flag_values


def fit(task: Task, pause: Pause) -> None:
    """Keras' fit of a model that was made in the strategy's scope."""
    strategy = _strategy(task)
    images, labels, num_classes = training_examples(task)
    with strategy.scope():
        model = plain_keras.model(task, images.shape[1:], num_classes)
        keras_fit.fit(task, pause, model, images, labels)


def loop(task: Task, pause: Pause) -> None:
    """A handwritten loop on the devices of this process."""
    strategy = _strategy(task)
    images, labels, num_classes = training_examples(task)
    iterator = iter(strategy.experimental_distribute_dataset(plain_keras.dataset(images, labels, task.batch)))
    _train(task, pause, strategy, iterator, images.shape[1:], num_classes)


def multi_worker(task: Task, pause: Pause) -> None:
    """A handwritten loop with MultiWorkerMirroredStrategy, on the workers of TF_CONFIG. Each shuffles for itself."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    images, labels, num_classes = training_examples(task)
    worker_batch = task.batch // strategy.num_replicas_in_sync
    batches = strategy.distribute_datasets_from_function(
        lambda context: plain_keras.dataset(images, labels, worker_batch)
    )
    _train(task, pause, strategy, iter(batches), images.shape[1:], num_classes)


def _train(task: Task, pause: Pause, strategy, iterator, image_shape, num_classes: int) -> None:
    """Calls of STEPS_PER_CALL steps, a round's worth at a time."""
    with strategy.scope():
        model = plain_keras.model(task, image_shape, num_classes)
        optimizer = keras.optimizers.Adam(task.learning_rate)
        if task.precision == "float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(model.trainable_variables)
    call = _training_function(strategy, model, optimizer, iterator, task.batch)
    while True:
        for _ in range(task.round_steps // STEPS_PER_CALL):
            loss = call()
        pause(float(loss), plain_keras.num_parameters(model))


def _strategy(task: Task) -> tf.distribute.MirroredStrategy:
    """The strategy over the task's devices, or over one device if it names none."""
    devices = flag_values.devices(task.tower_devices) or [("GPU" if task.on_gpu else "CPU", 0)]
    if any(kind == "CPU" for kind, _ in devices):
        logical = [tf.config.LogicalDeviceConfiguration()] * len(devices)
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
    return tf.distribute.MirroredStrategy([f"/{kind}:{index}" for kind, index in devices])


def _training_function(strategy, model: keras.Model, optimizer, iterator, global_batch: int):
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
    variables = model.trainable_variables

    def step(images, labels) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(crossentropy(labels, model(images, training=True))) / global_batch
            scaled = optimizer.scale_loss(loss)  # the loss itself, unless the precision is float16
        optimizer.apply(tape.gradient(scaled, variables), variables)
        return loss

    @tf.function
    def call() -> tf.Tensor:
        loss = tf.constant(0.0)
        for _ in tf.range(STEPS_PER_CALL):
            loss = strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(step, next(iterator)), axis=None)
        return loss

    return call
