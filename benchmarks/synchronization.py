"""The end of all computation of this process, on GPUs too."""

import sys


def wait() -> None:
    """Returns once the GPUs have done what this process's framework has asked of them."""
    torch, tensorflow = sys.modules.get("torch"), sys.modules.get("tensorflow")
    if torch and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    # A tf.compat.v1 session waits by itself.
    if tensorflow and tensorflow.executing_eagerly() and tensorflow.config.list_physical_devices("GPU"):
        tensorflow.test.experimental.sync_devices()
