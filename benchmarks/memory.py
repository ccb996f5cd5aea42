"""The most memory that this process has held since its start."""

import re
import sys
from pathlib import Path


def host_peak_bytes() -> int:
    """The largest resident set (VmHWM of proc(5)). Unlike getrusage's, it does not count the parent process."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) * 1024


def device_peak_bytes() -> int:
    """The largest allocation on all GPUs by this process's framework; 0 if it is unknown."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not tensorflow.executing_eagerly():  # a tf.compat.v1 session has devices of its own
        return 0
    gpus = [device.name for device in tensorflow.config.list_logical_devices("GPU")]
    try:
        return sum(tensorflow.config.experimental.get_memory_info(name)["peak"] for name in gpus)
    except ValueError:  # not every allocator counts
        return 0
