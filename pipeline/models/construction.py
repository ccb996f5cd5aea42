"""Builds a model as a function of (seed, name, shapes, precision) alone, and checks it."""

import collections
import contextlib
import importlib
import os
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, cast

import keras
import numpy as np

from pipeline.errors import UsageError
from pipeline.models.layers import ImageShape
from pipeline.models.variables import is_seed
from pipeline.random.keys import Purpose, fold_in

_POLICIES = {"float32": "float32", "tf32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def build(name: str, target: str, image_shape: ImageShape, num_classes: int, seed: int, precision: str) -> keras.Model:
    """The model that `target` (module:function) makes, on the CPU; the user called it `name`. See `models.build`."""
    function = load(name, target)
    with keras.device("cpu:0"), _fence(seed, precision):
        try:
            model = function(image_shape, num_classes)
            # A symbolic call: it creates the variables of a model that has waited for its input's shape.
            logits = model(keras.Input(image_shape)) if isinstance(model, keras.Model) else None
        except UsageError as error:
            raise UsageError(f"model={name}: {error}") from None
        except Exception as error:
            raise UsageError(f"model={name} raised {_described(error, function)}; correct the function") from error
    _check(name, model, logits, num_classes)
    return model


def load(name: str, target: str) -> Callable[..., keras.Model]:
    """The function `target` (module:function). Raises UsageError if there is none."""
    module_name, function_name = target.split(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # `python -m` does so, a console command does not
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"model={name}: module {module_name} cannot be imported ({reason}); "
            f"it is looked for on PYTHONPATH and in {os.getcwd()}"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UsageError(
            f"model={name}: module {module_name} has no function {function_name}; "
            f"define `def {function_name}(image_shape, num_classes)` there"
        )
    return cast("Callable[..., keras.Model]", function)


@contextlib.contextmanager
def _fence(seed: int, precision: str) -> Iterator[None]:
    """Makes all that Keras takes from global state a function of the arguments.

    A Keras initializer without a seed draws one from Python's `random` when it is constructed, and a layer
    without a name takes its number from a counter of the process: both would make a second build differ from the
    first. Hence a fresh session and our own seed. Python's and NumPy's generators and the dtype policy are put back.
    TensorFlow's and Keras' own seeds stay set, as neither can be read; nothing in this package draws from them.
    """
    generators, policy = (random.getstate(), np.random.get_state()), keras.config.dtype_policy()
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(int(fold_in(seed, Purpose.INITIAL_VALUES)) % 2**32)
    keras.config.set_dtype_policy(_POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(generators[0])
        np.random.set_state(generators[1])


def _described(error: Exception, function: Callable[..., keras.Model]) -> str:
    """The error, and the line of the function's own file that led to it."""
    code = getattr(function, "__code__", None)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    where = f" at {code.co_filename}:{lines[-1]}" if code and lines else ""
    return f"{type(error).__name__}: {error}{where}"


def _check(name: str, model: Any, logits: Any, num_classes: int) -> None:
    """Raises UsageError unless this is a model that can be trained and kept in a checkpoint."""
    if not isinstance(model, keras.Model):
        raise UsageError(f"model={name} returned a {type(model).__name__}; return a keras.Model")
    shape = getattr(logits, "shape", None)
    if shape is None or tuple(shape) != (None, num_classes):
        raise UsageError(f"model={name} gives outputs {_shapes(logits)}; give logits of shape (n, {num_classes})")
    if not model.trainable_variables:
        raise UsageError(f"model={name} has no trainable parameters; give it a layer that has some")
    paths = collections.Counter(v.path for v in model.variables if not is_seed(v))
    twice = [path for path, count in paths.items() if count > 1]
    if twice:
        raise UsageError(
            f"model={name} has two variables named {twice[0]}; name its layers apart: checkpoints go by it"
        )


def _shapes(outputs: Any) -> str:
    return str(keras.tree.map_structure(lambda x: getattr(x, "shape", type(x).__name__), outputs))
