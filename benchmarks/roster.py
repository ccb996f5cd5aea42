"""The roster of contenders: the name, the abilities and the task of each."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from benchmarks.machine import PEERS_PYTHON
from benchmarks.task import Task

ALL = ("float32", "bfloat16", "float16")
ONE, SEVERAL = "one", "several"  # devices


@dataclasses.dataclass(frozen=True)
class Entry:
    """A contender."""

    name: str  # as --contenders has it
    label: str  # as tables have it
    contender: str  # as Task has it
    is_peer: bool = True  # what one can have without this project, and without its tricks
    precisions: Sequence[str] = ALL
    devices: Sequence[str] = (ONE,)
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)  # of its Task

    @property
    def is_ours(self) -> bool:
        """Whether it is this pipeline."""
        return self.name == "ours"

    @property
    def needs_pytorch(self) -> bool:
        """Whether it runs in the peers' environment."""
        return self.contender.partition(":")[0].endswith("pytorch")

    def task(self, base: Task, devices: Sequence[str] = ()) -> Task:
        """The task with the base's batch, precision and data, on these devices, or on one device if none is named."""
        python = str(PEERS_PYTHON) if self.needs_pytorch else ""
        changes = {"contender": self.contender, "python": python, "tower_devices": ",".join(devices), **self.changes}
        return dataclasses.replace(base, **changes)


ROSTER = (
    Entry("ours", "ours", "ours", is_peer=False, devices=(ONE, SEVERAL)),
    Entry("ours_replicated", "ours, variables=replicated", "ours", False, ALL, (SEVERAL,), {"variables": "replicated"}),
    Entry("ours_float32", "ours in float32", "ours", False, ALL[1:], changes={"precision": "float32"}),
    Entry("keras_fit", "Keras fit", "keras_fit"),
    Entry("keras_fit_many_steps", "Keras fit, steps_per_execution=10", "keras_fit:many_steps"),
    Entry("keras_fit_of_our_model", "Keras fit of our model *", "keras_fit:of_our_model", is_peer=False),
    Entry("mirrored_loop", "MirroredStrategy, own loop", "mirrored:loop", devices=(ONE, SEVERAL)),
    Entry("mirrored_fit", "MirroredStrategy, Keras fit", "mirrored:fit", devices=(SEVERAL,)),
    Entry("feed_dict", "TF1 feed_dict loop", "feed_dict", precisions=("float32",)),
    Entry("pytorch", "PyTorch, eager", "pytorch"),
    Entry("pytorch_channels_last", "PyTorch, channels-last", "pytorch:channels_last"),
    Entry("pytorch_compiled", "PyTorch, torch.compile", "pytorch:compiled"),
    Entry("handwritten", "tf.nn by hand", "handwritten"),
    Entry("handwritten_pooled", "tf.nn by hand, our pool *", "handwritten:pooled", is_peer=False),
)
PRODUCTS = (
    Entry("product_tensorflow", "TensorFlow", "product_tensorflow", is_peer=False),
    Entry("product_pytorch", "PyTorch", "product_pytorch", is_peer=False),
)
FOOTNOTE = "* with this project's own gradient of bias, ReLU and pool, and so not counted as a peer"
