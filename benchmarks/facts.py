"""Facts that take TensorFlow to find, before contenders start: python -m benchmarks.facts TASK-AS-JSON FILE.

It writes the training examples to FILE for contenders that cannot read the source, and prints the facts as JSON.
"""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

from benchmarks import arrays
from benchmarks.task import Task
from pipeline.errors import PipelineError
from pipeline.process.environment import for_child
from pipeline.process.exits import exit_with
from pipeline.process.startup import import_tensorflow


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts of the machine and the model."""

    num_gpus: int  # that TensorFlow sees
    num_parameters: int  # that can be trained
    flops_per_example: int  # of one training example, forward and backward
    evaluation_flops_per_example: int  # forward alone


def found(task: Task, file: Path) -> Facts:
    """The facts, found by another process, so that this one needs no TensorFlow."""
    command = [sys.executable, "-m", "benchmarks.facts", json.dumps(dataclasses.asdict(task)), str(file)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=for_child(TF_FORCE_GPU_ALLOW_GROWTH="true"))
    if ended.returncode:
        sys.exit(ended.returncode)  # it has said why
    return Facts(**json.loads(ended.stdout.splitlines()[-1]))


def main(argument: str, file: str) -> None:
    """Finds the facts and writes them to FILE."""
    import_tensorflow()
    import tensorflow as tf

    from benchmarks.contenders import plain_keras
    from benchmarks.examples import decoded

    task = Task(**json.loads(argument))
    images, labels, num_classes = decoded(task)
    arrays.write(Path(file), images, labels)
    num_gpus = len(tf.config.list_physical_devices("GPU"))
    with tf.device("/cpu:0"):
        model = plain_keras.model(task, images.shape[1:], num_classes)
    facts = Facts(num_gpus, plain_keras.num_parameters(model), training_flops(model), sum(products_flops(model)))
    print(json.dumps(dataclasses.asdict(facts)))


def training_flops(model) -> int:
    """Floating point operations of one example's matrix products, forward and backward; no layer may be used twice.

    A product forward has two backward, for the gradients of its kernel and of its input; the first layer needs no
    gradient of its input. Bias, ReLU, pooling and the update are not counted.
    """
    forward = products_flops(model)
    return 3 * sum(forward) - forward[0]


def products_flops(model) -> list[int]:
    """The floating point operations of one example's matrix products forward, layer by layer."""
    return [
        2 * math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])  # the kernel at every position
        for layer in model._flatten_layers(include_self=False)
        if hasattr(layer, "kernel")
    ]


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except PipelineError as error:
        exit_with(error)
