"""The task of one contender."""

import dataclasses
from typing import Any

STEPS_PER_CALL = 10  # inside one tf.function, for every contender that has such a loop
SHUFFLE_BUFFER = 10_000  # examples, for every contender that shuffles in one


@dataclasses.dataclass(frozen=True)
class Task:
    """Train `model` with Adam on batches of `batch`, in units of `round_steps`; a round is one or more of them.

    Or evaluate it: batches and units are then those of an evaluation.
    """

    contender: str  # a module of benchmarks.contenders, or MODULE:FUNCTION where that is not `train`
    batch: int  # of a matrix product: the rows of its square matrices
    round_steps: int = STEPS_PER_CALL
    least_seconds: float = 0.0  # of a round: units are added until it took so long
    precision: str = "float32"  # as the pipeline's flag; without TF32, which is the precision "tf32"
    tower_devices: str = ""  # as the pipeline's flag; empty: one tower. Most contenders have one device.
    variables: str = "auto"  # as the pipeline's flag
    grad_shards: int = 0  # as the pipeline's flag
    model: str = "convolutional"
    evaluates: bool = False  # nothing is trained
    learning_rate: float = 1e-3
    source: str = "digits"
    data_dir: str = ""
    image_size: int = 0  # as the pipeline's flag
    arrays: str = ""  # the training examples as a file, for contenders that cannot read the source
    python: str = ""  # the interpreter of the peers' environment; empty: this one, which has TensorFlow
    on_gpu: bool = False
    num_parameters: int = 0  # that can be trained: the count for contenders that write the model anew; 0: unknown
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # more flags of the pipeline

    @property
    def label(self) -> str:
        """The contender's name in a table."""
        return f"{self.contender} on {self.tower_devices}" if self.tower_devices else self.contender

    @property
    def dtype(self) -> str:
        """The type that the precision has numbers in."""
        return "float32" if self.precision == "tf32" else self.precision

    def images_per_second(self, seconds: float, units: int = 1) -> float:
        """The speed of a round of so many units that took `seconds`."""
        return self.batch * self.round_steps * units / seconds

    def with_rounds_of(self, images: int) -> "Task":
        """This task in rounds of about `images` images, in whole calls, at least one."""
        calls = max(1, round(images / self.batch / STEPS_PER_CALL))
        return dataclasses.replace(self, round_steps=calls * STEPS_PER_CALL)
