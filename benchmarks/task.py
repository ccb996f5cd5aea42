"""The task of one contender."""

import dataclasses

STEPS_PER_CALL = 10  # inside one tf.function, for every contender that has such a loop
SHUFFLE_BUFFER = 10_000  # examples, for every contender that shuffles in one


@dataclasses.dataclass(frozen=True)
class Task:
    """Train `model` with Adam on batches of `batch`, in rounds of `round_steps`."""

    contender: str  # a module of benchmarks.contenders, or MODULE:FUNCTION where that is not `train`
    batch: int  # of a matrix product: the rows of its square matrices
    round_steps: int = STEPS_PER_CALL
    precision: str = "float32"  # as the pipeline's flag
    tower_devices: str = ""  # as the pipeline's flag; empty: one tower. Most contenders have one device.
    variables: str = "auto"  # as the pipeline's flag
    grad_shards: int = 0  # as the pipeline's flag
    model: str = "convolutional"
    learning_rate: float = 1e-3
    source: str = "digits"
    data_dir: str = ""
    image_size: int = 0  # as the pipeline's flag
    arrays: str = ""  # the training examples as a file, for contenders that cannot read the source
    python: str = ""  # the interpreter of the peers' environment; empty: this one, which has TensorFlow
    on_gpu: bool = False

    @property
    def label(self) -> str:
        """The contender's name in a table."""
        return f"{self.contender} on {self.tower_devices}" if self.tower_devices else self.contender

    def images_per_second(self, seconds: float) -> float:
        """The speed of a round that took `seconds`."""
        return self.batch * self.round_steps / seconds

    def with_rounds_of(self, images: int) -> "Task":
        """This task in rounds of about `images` images, in whole calls, at least one."""
        calls = max(1, round(images / self.batch / STEPS_PER_CALL))
        return dataclasses.replace(self, round_steps=calls * STEPS_PER_CALL)
