"""Brings TensorFlow's devices up as the topology asks: once, before anything is placed on a device."""

import os
import resource
from pathlib import Path

import tensorflow as tf

from pipeline.config import Config
from pipeline.engine.topology import Topology
from pipeline.errors import UsageError


def num_gpus() -> int:
    """The number of GPUs that TensorFlow sees. This does not initialize them."""
    return len(tf.config.list_physical_devices("GPU"))


def hide_gpus() -> None:
    """Keeps this process, which computes nothing, off all GPUs."""
    tf.config.set_visible_devices([], "GPU")


def start(topology: Topology, config: Config) -> None:
    """Makes the logical CPU devices, and pins every setting that decides the bits.

    Raises UsageError if this process has initialized its devices in another way already.
    """
    tf.config.set_soft_device_placement(config.soft_device_placement)
    tf.debugging.set_log_device_placement(config.log_device_placement)
    # Grappler rewrites chains of additions, and so would undo the fixed tree of reduce.tree: with this optimizer on,
    # 2 towers gave other bits than 1 and 4.
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    # By default GPUs round the factors of float32 products to 10 bits of mantissa.
    tf.config.experimental.enable_tensor_float_32_execution(config.precision == "tf32")
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.threading.set_intra_op_parallelism_threads(config.intra_op_threads)
        if topology.workers.count > 1 and not tf.config.threading.get_inter_op_parallelism_threads():
            # With one thread, TensorFlow's choice on one core, no sum over workers begins before the passes have ended.
            tf.config.threading.set_inter_op_parallelism_threads(max(2, len(os.sched_getaffinity(0))))
        if len(tf.config.get_logical_device_configuration(cpu) or [None]) < topology.num_cpu_devices:
            logical = [tf.config.LogicalDeviceConfiguration()] * topology.num_cpu_devices
            tf.config.set_logical_device_configuration(cpu, logical)
        _set_up_gpus(config)
        # Logical CPU devices give the same bits without it, and TensorFlow refuses some of its operations with it.
        if config.deterministic and not topology.all_on_cpu:
            tf.config.experimental.enable_op_determinism()
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"devices were initialized before the trainer could set them up: {error}") from None


def threads() -> int:
    """The threads inside one operation that this process was set up with; 0 if TensorFlow chooses."""
    return tf.config.threading.get_intra_op_parallelism_threads()


def peak_mib(topology: Topology) -> dict[str, int]:
    """The most memory in MiB that was held at a time: by this process, and by TensorFlow on each GPU tower."""
    return {device: peak >> 20 for device, (_, peak) in memory_bytes(topology).items()}


def memory_bytes(topology: Topology) -> dict[str, tuple[int, int]]:
    """Bytes that are held now, and the most at a time: by this process, and by TensorFlow on each GPU tower."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])  # proc(5), of Linux
    now = pages * resource.getpagesize()
    held = {"host": (now, max(now, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10))}
    for kind, index in topology.towers:
        if kind == "GPU":
            info = tf.config.experimental.get_memory_info(f"GPU:{index}")
            held[f"gpu:{index}"] = (info["current"], info["peak"])
    return held


def _set_up_gpus(config: Config) -> None:
    for gpu in tf.config.list_physical_devices("GPU"):
        if config.logical_gpus:  # memory growth is refused for these
            part = tf.config.LogicalDeviceConfiguration(memory_limit=config.gpu_memory_mib)
            tf.config.set_logical_device_configuration(gpu, [part] * config.logical_gpus)
        else:
            tf.config.experimental.set_memory_growth(gpu, True)
