"""How TensorFlow comes into this process."""

import logging
import os

from pipeline.process import environment, preemption


def import_tensorflow(log_device_placement: bool = False) -> None:
    """Imports TensorFlow with its own log lines kept off stderr, unless they were asked for."""
    if log_device_placement:
        environment.set_variable("TF_CPP_MIN_LOG_LEVEL", "0")
    else:
        environment.set_default("TF_CPP_MIN_LOG_LEVEL", "3")
    # Workers reach each other directly: gRPC would send their traffic through a proxy that is there for the web.
    # Empty, it means none; only without it gRPC looks at https_proxy and http_proxy, which downloads go on using.
    environment.set_variable("grpc_proxy", "")
    # TensorFlow 2.21 writes some lines before it reads that level; while it is imported, stderr is set aside.
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with preemption.sigterm_held_back():
            import tensorflow
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
    tensorflow.get_logger().setLevel(logging.CRITICAL)  # what users need to know of it, we say
