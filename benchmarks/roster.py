"""The roster of contenders: the name, the abilities and the task of each."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from benchmarks.machine import peers_python
from benchmarks.task import Task

ALL = ("float32", "tf32", "bfloat16", "float16")
WITHOUT_FLOAT16 = ALL[:3]
MODELS = ("convolutional", "resnet50", "whitened")
SMALL = MODELS[:1]
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
    models: Sequence[str] = MODELS

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
        python = str(peers_python()) if self.needs_pytorch else ""
        changes = {"contender": self.contender, "python": python, "tower_devices": ",".join(devices), **self.changes}
        return dataclasses.replace(base, **changes)


_LONG_LOOP = {"deterministic": False, "steps_per_loop": 100}
_BEST = _LONG_LOOP | {"jit": True}


def _flags(**settings: Any) -> dict[str, Any]:
    """The changes of a task with these flags of the pipeline."""
    return {"settings": settings}


ROSTER = (
    Entry("ours", "ours", "ours", is_peer=False, devices=(ONE, SEVERAL)),
    Entry("ours_replicated", "ours, variables=replicated", "ours", False, ALL, (SEVERAL,), {"variables": "replicated"}),
    Entry("ours_nondeterministic", "ours, nondeterministic", "ours", False, changes=_flags(deterministic=False)),
    Entry("ours_long_loop", "ours, nondeterministic, longer loop", "ours", False, changes=_flags(**_LONG_LOOP)),
    Entry("ours_jit", "ours, jit", "ours", False, changes=_flags(jit=True)),
    Entry("ours_best", "ours, nondeterministic, jit, longer loop", "ours", False, changes=_flags(**_BEST)),
    Entry("ours_float32", "ours in float32", "ours", False, ALL[1:], changes={"precision": "float32"}),
    Entry("keras_fit", "Keras fit", "keras_fit"),
    Entry("keras_fit_without_xla", "Keras fit, jit_compile=False", "keras_fit:without_xla"),
    Entry("keras_fit_xla", "Keras fit, jit_compile=True", "keras_fit:xla"),
    Entry("keras_fit_many_steps", "Keras fit, steps_per_execution=10", "keras_fit:many_steps"),
    Entry("keras_fit_of_our_model", "Keras fit of our model *", "keras_fit:of_our_model", is_peer=False),
    Entry("mirrored_loop", "MirroredStrategy, own loop", "mirrored:loop", devices=(ONE, SEVERAL)),
    Entry("mirrored_fit", "MirroredStrategy, Keras fit", "mirrored:fit", devices=(SEVERAL,)),
    Entry("keras_loop", "Keras model, own loop", "keras_loop"),
    Entry("keras_loop_xla", "Keras model, own loop, XLA", "keras_loop:xla"),
    Entry("feed_dict", "TF1 feed_dict loop", "feed_dict", precisions=("float32",), models=SMALL),
    Entry("pytorch", "PyTorch, eager", "pytorch"),
    Entry("pytorch_channels_last", "PyTorch, channels-last", "pytorch:channels_last"),
    Entry("pytorch_compiled", "PyTorch, torch.compile", "pytorch:compiled"),
    Entry("pytorch_compiled_channels_last", "PyTorch, torch.compile, channels-last", "pytorch:compiled_channels_last"),
    Entry("pytorch_cuda_graphs", "PyTorch, torch.compile, CUDA graphs", "pytorch:compiled_cuda_graphs"),
    Entry("pytorch_step_graph", "PyTorch, the step in a CUDA graph", "pytorch:step_graph", precisions=WITHOUT_FLOAT16),
    Entry("handwritten", "tf.nn by hand", "handwritten", models=SMALL),
    Entry("handwritten_xla", "tf.nn by hand, XLA", "handwritten:xla", models=SMALL),
    Entry("handwritten_pooled", "tf.nn by hand, our pool *", "handwritten:pooled", is_peer=False, models=SMALL),
)
FOR_CPUS = (
    *("ours", "ours_replicated", "ours_float32", "keras_fit", "keras_fit_many_steps", "keras_fit_of_our_model"),
    *("mirrored_loop", "mirrored_fit", "feed_dict", "pytorch", "pytorch_channels_last", "pytorch_compiled"),
    *("handwritten", "handwritten_pooled"),
)
FOR_GPUS = (
    *("ours", "ours_nondeterministic", "ours_long_loop", "ours_jit", "ours_best"),
    *("keras_fit_without_xla", "keras_fit_xla", "keras_fit_many_steps", "keras_loop", "keras_loop_xla"),
    *("handwritten", "handwritten_xla"),
    *("pytorch_channels_last", "pytorch_compiled_channels_last", "pytorch_cuda_graphs", "pytorch_step_graph"),
)
PRODUCTS = (
    Entry("product_tensorflow", "TensorFlow", "product_tensorflow", is_peer=False),
    Entry("product_pytorch", "PyTorch", "product_pytorch", is_peer=False),
)
FOOTNOTE = "* with this project's own gradient of bias, ReLU and pool, and so not counted as a peer"
