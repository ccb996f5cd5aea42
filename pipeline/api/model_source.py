"""A model that is a function of the calling program: the name by which another process finds it, and its source text.

A function of a module that can be imported has a name: MODULE:FUNCTION. A function of a script, of a notebook's cell,
or inside of another function has none elsewhere. Its source text then becomes a module of its own, with all that it
uses: functions and classes by their source text, modules and what can be imported by an import, plain values as they
are now.
"""

import ast
import hashlib
import inspect
import linecache
import re
import symtable
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pipeline.errors import UsageError

_HEAD = '''\
"""The model `{}`, as a script or a notebook defined it; written by pipeline.train."""

from __future__ import annotations

'''
_PLAIN = (str, bytes, bool, int, float, complex, type(None))
_REMEDY = "make it inside of the function, or put the function into a file and give its name as model='file:function'"


class ModelSource(NamedTuple):
    """What --model is to be, and the text of its module; "" for a module that lies elsewhere."""

    name: str
    text: str = ""

    @property
    def file(self) -> str:
        """The name of the module's file."""
        return f"{self.name.partition(':')[0]}.py"


def of(model: str | Callable[..., Any]) -> ModelSource:
    """The source of a model. Its module is named by the hash of its text: another text is another model.

    Raises UsageError for a function whose source text cannot be had, or that uses what cannot be written down.
    """
    if isinstance(model, str):
        return ModelSource(model)
    name = getattr(model, "__name__", "")
    if not callable(model) or not name.isidentifier():
        raise UsageError(f"model={model!r} is no function with a name; write def NAME(image_shape, num_classes)")
    if _is_importable(model):
        return ModelSource(f"{model.__module__}:{name}")
    text = _Module(name).text(model)
    return ModelSource(f"{name}_{hashlib.sha256(text.encode()).hexdigest()[:8]}:{name}", text)


def _is_importable(value: Any) -> bool:
    """Whether an import finds this very object. The main module does not count: its import would run it again."""
    module = getattr(value, "__module__", None) or ""
    found = getattr(sys.modules.get(module), getattr(value, "__name__", ""), None)
    return module != "__main__" and found is value


def _home(value: Any) -> str:
    """The module to import something from: where it was defined; of Keras, whose own modules move, the public one."""
    home = value.__module__
    if not home.startswith("keras.src."):
        return home
    public = (name for name in sorted(sys.modules) if re.fullmatch(r"keras(\.(?!src\b)[^\W_]\w*)*", name))
    return next((name for name in public if getattr(sys.modules[name], value.__name__, None) is value), home)


class _Module:
    """The text of a module, as it grows: imports and plain values, then definitions, each after what it uses."""

    def __init__(self, model: str):
        self._model = model
        self._values: dict[str, Any] = {}  # every name of the module so far
        self._heads: list[str] = []
        self._definitions: list[str] = []

    def text(self, model: Callable[..., Any]) -> str:
        """The whole text, with this function in it."""
        self._add(self._model, model)
        heads = "".join(f"{line}\n" for line in sorted(self._heads))
        return _HEAD.format(self._model) + "\n\n".join([heads, *self._definitions]).lstrip("\n")

    def _add(self, name: str, value: Any) -> None:
        """Adds a name with its value, and before it all that it uses."""
        if name in self._values:
            if self._values[name] is not value and self._values[name] != value:
                raise self._refusal(name, value, "has two meanings in what it uses")
            return
        self._values[name] = value
        if isinstance(value, types.ModuleType):
            self._import_module(name, value)
        elif _is_plain(value):
            self._heads.append(f"{name} = {value!r}")
        elif _is_importable(value):
            own = value.__name__
            self._heads.append(f"from {_home(value)} import {own}" + (f" as {name}" if name != own else ""))
        elif isinstance(value, type | types.FunctionType):
            self._define(name, value)
        else:
            raise self._refusal(name, value, f"is a {type(value).__name__}, which has no source text")

    def _import_module(self, name: str, module: types.ModuleType) -> None:
        own = module.__name__
        if own == "__main__" or sys.modules.get(own) is not module:
            raise self._refusal(name, module, f"is the module {own}, which cannot be imported by that name")
        self._heads.append(f"import {own}" + (f" as {name}" if name != own else ""))

    def _define(self, name: str, value: Any) -> None:
        definition = inspect.unwrap(value)
        if definition.__name__ != name:
            self._add(definition.__name__, value)
            self._definitions.append(f"{name} = {definition.__name__}\n")
            return
        source = self._source(name, definition)
        scope = _scope(definition)
        for used in _free_names(source):
            if used in scope and used != name:
                self._add(used, scope[used])
        self._definitions.append(source)

    def _source(self, name: str, value: Any) -> str:
        """The source text of a definition, without indentation."""
        source = _found(name, value)
        if source is None:
            raise self._refusal(name, value, "has no source text of its own")
        return source

    def _refusal(self, name: str, value: Any, why: str) -> UsageError:
        if value is not None and name == self._model:
            return UsageError(
                f"model={name} {why}; write it as def {name}(image_shape, num_classes), in a cell or a file"
            )
        return UsageError(f"model={self._model} uses {name}, which {why}; {_REMEDY}")


def _is_plain(value: Any) -> bool:
    """Whether the value's own text stands for it: numbers, texts, and tuples, lists and dictionaries of these."""
    if type(value) in (tuple, list):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(_is_plain(key) and _is_plain(item) for key, item in value.items())
    return type(value) in _PLAIN and (type(value) not in (float, complex) or value * 0 == 0)


def _scope(definition: Any) -> dict[str, Any]:
    """The names that a function or a class can use, with their values: those of functions around it, then globals."""
    scope: dict[str, Any] = {}
    functions = [definition] if isinstance(definition, types.FunctionType) else list(_methods(definition))
    for function in functions:
        scope |= function.__globals__
    for function in functions:
        scope |= inspect.getclosurevars(function).nonlocals
    return scope


def _methods(definition: type) -> Iterator[types.FunctionType]:
    """The functions that the text of a class defines."""
    for value in vars(definition).values():
        function = inspect.unwrap(getattr(value, "__func__", value)) if callable(value) else None
        if isinstance(function, types.FunctionType) and function.__qualname__.startswith(definition.__qualname__ + "."):
            yield function


def _found(name: str, value: Any) -> str | None:
    """The text of the definition in the file, or the notebook's cell, that it was compiled from."""
    functions = [value] if isinstance(value, types.FunctionType) else list(_methods(value))
    for code in (function.__code__ for function in functions):
        lines = linecache.getlines(code.co_filename)
        try:
            nodes = list(ast.walk(ast.parse("".join(lines))))
        except SyntaxError:
            continue
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                if first <= code.co_firstlineno <= (node.end_lineno or 0):
                    return textwrap.dedent("".join(lines[first - 1 : node.end_lineno])).rstrip() + "\n"
    return None


def _free_names(source: str) -> list[str]:
    """The names that a definition takes from outside, in its default values and decorators too; not in annotations."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
    tables, names = [symtable.symtable(ast.unparse(tree), "model", "exec")], set()
    while tables:
        table = tables.pop()
        at_top = table.get_type() == "module"
        names |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (at_top or s.is_global())}
        tables += table.get_children()
    return sorted(names)
