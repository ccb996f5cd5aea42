"""TensorFlow's errors turned into this project's, where a user can do something about them. All others stay."""

import contextlib
import re
from collections.abc import Callable, Iterator

import tensorflow as tf

from pipeline.errors import PipelineError, UsageError, told_in

# The wording of TensorFlow's executor, of its kernel registry (no kernel for any device here), and of its placer (no
# kernel for this device).
_MEMORY = re.compile(r"allocating tensor \w+ shape ?(\[[\d,]*\]).*? on (\S+)", re.DOTALL)
_NO_KERNEL_HERE = re.compile(r"No OpKernel was registered to support Op '(\w+)' used by {{node (\S+)}}")
_NO_KERNEL_THERE = re.compile(
    r"Cannot assign a device for operation (?:{{node )?([^\s}]+?)(?:}})?: .*?"
    r"specification '(\S+)' because no supported kernel",
    re.DOTALL,
)
_NODE = re.compile(r"{{node (\S+?)}}")


@contextlib.contextmanager
def explained(batch_flag: str, find_broken: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Raises a PipelineError in place of an error that TensorFlow raises inside, if a user can do something about it.

    batch_flag: the flag to lower if memory runs out. find_broken: raises BadDataError naming the first example of the
    batch that cannot be read, if there is one; tf.data's own error does not name it.
    """
    try:
        yield
    except tf.errors.OpError as error:
        explanation = (
            told_in(error.message)
            or _memory_error(error, batch_flag)
            or _kernel_error(error.message)
            or _determinism_error(error)
        )
        if explanation:
            raise explanation from None
        find_broken()
        raise


def _memory_error(error: tf.errors.OpError, batch_flag: str) -> PipelineError | None:
    if not isinstance(error, tf.errors.ResourceExhaustedError):
        return None
    match = _MEMORY.search(error.message)
    what = "memory ran out"
    if match:
        what = f"{match[2].rpartition('device:')[2]} has no memory left for an array of shape {match[1]}"
    return UsageError(f"{what}; lower --{batch_flag}, or use more --towers or a smaller --model")


def _kernel_error(message: str) -> PipelineError | None:
    if match := _NO_KERNEL_THERE.search(message):
        return UsageError(
            f"operation {_short(match[1])} has no kernel on its tower's device {match[2]}; "
            "let TensorFlow move it by --soft_device_placement, or choose other --tower_devices"
        )
    if match := _NO_KERNEL_HERE.search(message):
        kinds = sorted(set(re.findall(r"device='(\w+)'", message))) or ["none"]
        return UsageError(
            f"operation {_short(match[2])} has no kernel for any device of this machine (those of {match[1]} are for "
            f"{', '.join(kinds)}); use another operation in --model, or another machine"
        )
    return None


def _determinism_error(error: tf.errors.OpError) -> PipelineError | None:
    """Of a kernel that refuses to run under op determinism."""
    if not isinstance(error, tf.errors.UnimplementedError) or "determinis" not in error.message.lower():
        return None
    node = _NODE.search(error.message)
    return UsageError(
        f"operation {_short(node[1]) if node else 'of the model'} gives other bits every time on a GPU, and has no "
        "deterministic kernel there; use another layer in --model, or give up equal bits by --nodeterministic"
    )


def _short(name: str) -> str:
    """The part of an operation's name that begins with its tower: while/body/_1/tower_0/... -> tower_0/..."""
    return re.sub(r".*?(?=tower_\d)", "", name)
