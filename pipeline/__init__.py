"""A distributed multi-GPU training pipeline: exact, unkillable, fast.

From Python there are two functions, `train` and `load`, and the errors in `errors`: see docs/python.md. The commands
are modules: `python -m pipeline.train`.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline import errors
    from pipeline.api import load, train

__version__ = "0.2.0"
__all__ = ["errors", "load", "train"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for the first time, so that `import pipeline` itself takes no time."""
    if name not in __all__:
        raise AttributeError(f"module 'pipeline' has no attribute '{name}'")
    return importlib.import_module("pipeline.errors") if name == "errors" else getattr(_api(), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _api() -> types.ModuleType:
    return importlib.import_module("pipeline.api")


class _Package(types.ModuleType):
    """This package, in which `train` is the function, also after an import of the command's module pipeline.train.

    An import puts each module into its package under its name. This one stays in sys.modules alone.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "train" or not isinstance(value, types.ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
