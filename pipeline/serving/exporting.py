"""The export of a checkpoint: written in a format, compared with `predict`, and only then published.

A directory of exports has TF Serving's layout for every format: DIR/1, DIR/2, ... An export is written under a hidden
name and renamed when it is whole. It is never changed later.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.engine.assembly import Assembly
from pipeline.engine.evaluation import probabilities
from pipeline.engine.towers import Towers
from pipeline.errors import UsageError
from pipeline.runs.checkpoints import Restored
from pipeline.serving import formats
from pipeline.serving.formats.network import Network, Runner
from pipeline.storage.files import storage_errors, sync

NUM_PROBES = 16  # random images on which every export is compared
# The largest allowed difference of a probability. Other kernels add in another order, and 16 bits keep 3 digits.
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.05, "float16": 0.05}

_HIDDEN = ".writing-"


class Exported(NamedTuple):
    """A published export."""

    path: Path  # the file, or the directory of a SavedModel
    difference: float  # the largest difference from predict's probabilities, over the probes
    notes: list[str]  # lines for its users


def export(assembly: Assembly, towers: Towers, restored: Restored, format_name: str, directory: Path) -> Exported:
    """Publishes a checkpoint as the next version in `directory`.

    Raises UsageError if the model cannot be converted, or if the export gives other probabilities; StorageError if the
    directory cannot be written. After an error there is no new version.
    """
    network = _network(assembly, restored)
    module = formats.module(format_name)
    with _explained(directory), _next_version(directory) as (hidden, publish):
        notes = module.write(network, hidden)
        difference = _difference(assembly, towers, module.load(hidden))
        if not difference <= TOLERANCE[network.precision]:
            raise UsageError(
                f"format={format_name} gives probabilities that differ by {difference:.2g} from predict's, more than "
                f"{TOLERANCE[network.precision]:.2g}, so nothing was exported; use --format=savedmodel"
            )
        return Exported(publish() / module.NAME, difference, notes)


def _network(assembly: Assembly, restored: Restored) -> Network:
    config, spec = assembly.config, assembly.spec
    about = config.model, config.seed, config.precision, spec.image_shape, spec.class_names
    return Network(*about, restored.values, config.eval_crop, config.normalization, config.views, config.multi_label)


def _difference(assembly: Assembly, towers: Towers, run: Runner) -> float:
    """The largest difference between the probabilities of `run` and predict's, over the probes."""
    images = _probes(assembly.spec.image_shape)
    expected = probabilities(assembly.model, towers, images, NUM_PROBES, assembly.config.multi_label)
    return float(np.abs(run(images) - expected).max())


def _probes(image_shape: tuple[int, int, int]) -> np.ndarray:
    """Images of random pixels, always equal."""
    pixels = tf.random.stateless_uniform([NUM_PROBES, *image_shape], [1, 2], maxval=256, dtype=tf.int32, alg="philox")
    return tf.cast(pixels, tf.uint8).numpy()


@contextlib.contextmanager
def _explained(directory: Path) -> Iterator[None]:
    """Raises StorageError for errors of the file system, also where TensorFlow reports them."""
    with storage_errors(directory):
        try:
            yield
        except (tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError, tf.errors.UnknownError) as error:
            raise OSError(None, error.message.rpartition("; ")[2]) from error


@contextlib.contextmanager
def _next_version(directory: Path) -> Iterator[tuple[Path, Callable[[], Path]]]:
    """Yields a hidden directory to write to, and a function that publishes it and returns its new path."""
    directory.mkdir(parents=True, exist_ok=True)
    _sweep(directory)
    hidden = Path(tempfile.mkdtemp(prefix=_HIDDEN, dir=directory))
    lock = os.open(hidden, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the lock tells another export that this one is alive
        yield hidden, lambda: _publish(hidden, directory)
    finally:
        os.close(lock)
        shutil.rmtree(hidden, ignore_errors=True)


def _sweep(directory: Path) -> None:
    """Deletes the hidden directories of killed exports."""
    for hidden in [path for path in directory.iterdir() if path.name.startswith(_HIDDEN)]:
        lock = os.open(hidden, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(hidden, ignore_errors=True)
        except BlockingIOError:
            pass  # a live export writes it
        finally:
            os.close(lock)


def _publish(hidden: Path, directory: Path) -> Path:
    """Renames the hidden directory to the next number, so that it survives a power cut. Returns the new path."""
    for path in hidden.rglob("*"):
        sync(path)
    hidden.chmod(0o755)  # mkdtemp makes it readable only to its owner
    number = 1 + max((int(path.name) for path in directory.iterdir() if path.name.isdecimal()), default=0)
    while True:
        try:
            version = hidden.rename(directory / str(number))
            sync(directory)
            return version
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            number += 1  # another export took this number meanwhile
