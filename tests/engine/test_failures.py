"""Which of TensorFlow's own errors users are told of in our words, and that all others stay as they are."""

import pytest
import tensorflow as tf

from pipeline.engine import failures
from pipeline.errors import BadDataError, UsageError

# What TensorFlow's placer says where another kind of device has a kernel; it takes a GPU to make it say so.
PLACER = """\
Cannot assign a device for operation while/body/_1/while/tower_1/shard_2/text/UnicodeDecode: Could not satisfy \
explicit device specification '/job:localhost/replica:0/task:0/device:GPU:1' because no supported kernel \
for GPU devices is available.
Colocation Debug Info:
Colocation group had the following types and supported devices:
UnicodeDecode: CPU
"""


def explain(error: Exception, find_broken=lambda: None):
    with failures.explained("global_batch", find_broken):
        raise error


def test_memory_that_does_not_suffice():
    with (
        pytest.raises(UsageError) as told,
        failures.explained("eval_batch"),
    ):
        tf.zeros([2**40, 2**20])
    line = str(told.value)
    assert line.startswith(f"CPU:0 has no memory left for an array of shape [{2**40},{2**20}]; lower --eval_batch, or")


def test_memory_that_ran_out_without_details():
    with pytest.raises(UsageError, match=r"^memory ran out; lower --global_batch, or use more --towers"):
        explain(tf.errors.ResourceExhaustedError(None, None, "out of memory"))


@pytest.mark.parametrize(
    "message", [PLACER, PLACER.replace("while/body", "{{node while/body").replace("e: C", "e}}: C")]
)
def test_an_operation_without_a_kernel_on_its_tower(message):
    with pytest.raises(UsageError) as told:
        explain(tf.errors.InvalidArgumentError(None, None, message))
    assert str(told.value) == (
        "operation tower_1/shard_2/text/UnicodeDecode has no kernel on its tower's device "
        "/job:localhost/replica:0/task:0/device:GPU:1; let TensorFlow move it by --soft_device_placement, "
        "or choose other --tower_devices"
    )


def test_an_operation_without_a_kernel_on_this_machine():
    @tf.function
    def reduce():
        with tf.name_scope("tower_0"):
            return tf.raw_ops.NcclAllReduce(input=tf.ones([2]), reduction="sum", num_devices=1, shared_name="r")

    with (
        pytest.raises(
            UsageError, match=r"tower_0/NcclAllReduce has no kernel for .*\(those of NcclAllReduce are for GPU\)"
        ),
        failures.explained("global_batch"),
    ):
        reduce()


def test_an_operation_without_a_deterministic_kernel():
    """As GPUs answer under op determinism; the message is that of TensorFlow's ResizeNearestNeighborGrad."""
    message = (
        "A deterministic GPU implementation of ResizeNearestNeighborGrad is not currently available.\n"
        "\t [[{{node while/body/_1/while/tower_0/shard_1/gradients/up/resize_grad}}]] [Op:__inference_steps_9]"
    )
    with pytest.raises(UsageError) as told:
        explain(tf.errors.UnimplementedError(None, None, message))
    assert str(told.value) == (
        "operation tower_0/shard_1/gradients/up/resize_grad gives other bits every time on a GPU, and has no "
        "deterministic kernel there; use another layer in --model, or give up equal bits by --nodeterministic"
    )


def test_an_example_that_cannot_be_read_is_looked_for():
    def find_broken():
        raise BadDataError("cat/3.png cannot be decoded")

    with pytest.raises(BadDataError, match=r"cat/3\.png"):
        explain(tf.errors.InvalidArgumentError(None, None, "Invalid PNG data, size 200"), find_broken)


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.InvalidArgumentError(None, None, "Incompatible shapes: [2] vs. [3]"),
        tf.errors.InternalError(None, None, "CUDA error"),
        ValueError("a bug"),
    ],
)
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(type(error)) as raised:
        explain(error)
    assert raised.value is error
