"""Optional packages, which the extras of this package install."""

import importlib.util

from pipeline.errors import UsageError


def check(asked: str, package: str, extra: str) -> None:
    """Raises UsageError if a package is not installed, with the command that installs it; imports nothing.

    asked: what needs the package, as NAME=VALUE. extra: the extra of this package that brings it.
    """
    if importlib.util.find_spec(package) is None:
        raise UsageError(
            f"{asked} needs {package}, which is not installed; install it: pip install 'tower-pipeline[{extra}]'"
        )
