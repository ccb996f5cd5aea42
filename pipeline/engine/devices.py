"""Brings TensorFlow's devices up as the topology asks: once, before anything is placed on a device."""

import tensorflow as tf

from pipeline.config import Config
from pipeline.engine.topology import Topology
from pipeline.errors import UsageError


def num_gpus() -> int:
    """The number of GPUs that TensorFlow sees. This does not initialize them."""
    return len(tf.config.list_physical_devices("GPU"))


def start(topology: Topology, config: Config) -> None:
    """Makes the logical CPU devices, and pins every setting that decides the bits.

    Raises UsageError if this process has initialized its devices in another way already.
    """
    tf.config.set_soft_device_placement(config.soft_device_placement)
    tf.debugging.set_log_device_placement(config.log_device_placement)
    # Grappler rewrites chains of additions, and so would undo the fixed tree of reduce.tree: with this optimizer on,
    # 2 towers gave other bits than 1 and 4.
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.threading.set_intra_op_parallelism_threads(config.intra_op_threads)
        if len(tf.config.get_logical_device_configuration(cpu) or [None]) < topology.num_cpu_devices:
            logical = [tf.config.LogicalDeviceConfiguration()] * topology.num_cpu_devices
            tf.config.set_logical_device_configuration(cpu, logical)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"devices were initialized before the trainer could set them up: {error}") from None
