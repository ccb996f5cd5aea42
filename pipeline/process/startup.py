"""How TensorFlow comes into this process, and what of the machine the process may use."""

import contextlib
import gc
import logging
import re
import resource
import sys
import traceback
from collections.abc import Iterator
from typing import Any, cast

from pipeline.errors import UsageError
from pipeline.process import environment, preemption, standard_error

# Packages that Keras and TensorFlow import where they are, which takes time and memory.
UNUSED = ("sklearn", "pandas", "IPython", "scipy")
LEAST_ADDRESS_SPACE = 5 << 29  # bytes; with less, TensorFlow 2.21 aborts as it starts its threads


def import_tensorflow(log_device_placement: bool = False, *, for_user: bool = False) -> None:
    """Imports TensorFlow and Keras, as every command needs them, whatever the user has set for other projects.

    for_user: the process is the user's, whose Keras can do all that the installed packages allow.

    TensorFlow's own log lines are kept off stderr unless they were asked for. Raises UsageError for surroundings that
    neither of both can work in.
    """
    _check_surroundings()
    if log_device_placement:
        environment.set_variable("TF_CPP_MIN_LOG_LEVEL", "0")
    else:
        environment.set_default("TF_CPP_MIN_LOG_LEVEL", "3")
    # Workers reach each other directly: gRPC would send their traffic through a proxy that is there for the web.
    # Empty, it means none; only without it gRPC looks at https_proxy and http_proxy, which downloads go on using.
    environment.set_variable("grpc_proxy", "")
    # Without it cuBLAS may choose other algorithms where several streams share a GPU.
    environment.set_default("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Without it TensorFlow normalizes 16 bits in NCHW, between two transposes of all activations. cuDNN's sums are in
    # whole numbers, whose order does not matter.
    environment.set_default("TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT", "1")
    # Our models are made of TensorFlow's variables: a choice that was made for other projects cannot hold here.
    environment.set_variable("KERAS_BACKEND", "tensorflow")
    # TensorFlow 2.21 writes some lines before it reads that level; while it is imported, stderr is set aside.
    unused = () if for_user else UNUSED
    is_first = "tensorflow" not in sys.modules
    try:
        with standard_error.kept(), preemption.sigterm_held_back(), hidden(*unused), _uncollected():
            import keras
            import tensorflow
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if any(frame.filename.endswith("keras/src/backend/config.py") for frame in frames):
            raise UsageError(
                f"Keras cannot use its configuration ({error or type(error).__name__}); correct or remove "
                "~/.keras/keras.json and the variables KERAS_*"
            ) from None
        raise
    tensorflow.get_logger().setLevel(logging.CRITICAL)  # what users need to know of it, we say
    # ~/.keras/keras.json may say otherwise, and then layers that do not say it themselves compute other numbers.
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    if is_first and not for_user:
        gc.freeze()  # all of it stays, and the collector would look through it again and again


@contextlib.contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Hides packages from the imports inside, but for those that are imported already."""
    modules = cast(dict[str, Any], sys.modules)
    absent = [package for package in packages if package not in modules]
    modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for package in absent:
            del modules[package]


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keeps the garbage collector from what is imported inside: all of it stays."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def allow_open_files(count: int) -> None:
    """Lets this process open so many files, or as many as it may be allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _check_surroundings() -> None:
    """Raises UsageError for surroundings in which TensorFlow would end the process, or hide its devices."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY and most < LEAST_ADDRESS_SPACE:
        raise UsageError(
            f"ulimit -v allows this process {most // 2**20:,} MiB of addresses, and TensorFlow alone takes "
            f"{LEAST_ADDRESS_SPACE // 2**20:,} MiB; raise it, or limit memory by a cgroup"
        )
    value = environment.variables().get("TF_XLA_FLAGS", "")
    if re.search(r"tf_xla_auto_jit[= ]+[12]", value):
        raise UsageError(
            f"TF_XLA_FLAGS={value} is not allowed: XLA then merges operations, whose devices cannot be checked; "
            "unset it"
        )
