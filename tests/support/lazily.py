"""Modules that a few tests need and that take long to import: every test process reads every test."""

import importlib
from typing import Any


class Module:
    """A module that is imported when something of it is first asked for."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
