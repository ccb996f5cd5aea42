"""A function of a program as a module of its own: the same function elsewhere, or one line of refusal."""

import collections
import functools
import linecache
import math
import sys
import textwrap
import types

import models_for_tests
import pytest

from pipeline.api import model_source
from pipeline.errors import UsageError


def program(text: str) -> dict:
    """What a program, or a notebook's cells, of this text defines in its main module."""
    text, name = textwrap.dedent(text), f"<cell {hash(text)}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    names = {"__name__": "__main__"}
    exec(compile(text, name, "exec"), names)
    return names


def elsewhere(function) -> types.SimpleNamespace:
    """What the module of a function's source defines."""
    source = model_source.of(function)
    names = {"__name__": source.file.removesuffix(".py")}
    exec(compile(source.text, source.file, "exec"), names)
    return types.SimpleNamespace(**names, text=source.text, model=names[source.name.partition(":")[2]])


USES_MUCH = '''
    import collections.abc
    import math as m
    from functools import partial

    WIDTHS, SCALE, NAMES = [3, 4], {"a": (1, 2.5), "b": None}, ("x", b"y", True)
    unused = object()
    one_half = 0.5

    def again(function):
        return function

    class Base:
        """Says what it is."""

        def value(self):
            return one_half

    class Layer(Base):
        size = len(WIDTHS)

        def value(self) -> "unknown":
            return super().value() + self.size

    @again
    def helper(x, scale=SCALE["a"][1]):
        return m.ceil(x) * scale + Layer().value()

    other = helper

    def net(image_shape, num_classes: unused.__class__) -> Base:
        """Two
        lines."""
        total = partial(other, image_shape)()
        for width in WIDTHS:  # a comment
            total += width * sum(1 for name in NAMES if name)
        return total, isinstance([], collections.abc.Sized), net.__name__
'''


def test_a_function_is_written_with_all_that_it_uses():
    names = program(USES_MUCH)
    there = elsewhere(names["net"])
    assert there.model is not names["net"] and there.model(2.5, 10) == names["net"](2.5, 10)
    assert "# a comment" in there.text and "unused = " not in there.text
    assert "import math as m\n" in there.text and "from functools import partial\n" in there.text


def test_its_name_is_the_hash_of_its_text():
    names = program(USES_MUCH)
    source = model_source.of(names["net"])
    assert source.name == f"{source.file.removesuffix('.py')}:net" and source.file.startswith("net_")
    assert model_source.of(program(USES_MUCH)["net"]) == source
    assert model_source.of(program("unused_too = 1\n" + textwrap.dedent(USES_MUCH))["net"]) == source
    for before, after in (("one_half = 0.5", "one_half = 0.25"), ("m.ceil", "m.floor"), ("# a comment", "# another")):
        assert model_source.of(program(USES_MUCH.replace(before, after))["net"]).name != source.name


def test_functions_inside_of_others_take_the_values_around_them():
    names = program("""
        def make(width, depth):
            factor = 10

            def inner(x):
                return x * factor

            def net(image_shape, num_classes):
                return inner(width) + depth

            return net
    """)
    nets = [names["make"](width, 7) for width in (2, 3)]
    assert [elsewhere(net).model(0, 0) for net in nets] == [27, 37]
    assert len({model_source.of(net).name for net in nets}) == 2


def test_what_can_be_imported_keeps_its_name():
    assert model_source.of(models_for_tests.linear) == ("models_for_tests:linear", "")
    assert model_source.of("dense") == ("dense", "")
    assert model_source.of(collections.OrderedDict) == ("collections:OrderedDict", "")


def test_the_main_module_is_not_imported_again(monkeypatch):
    main = types.ModuleType("__main__")
    main.__dict__.update(program("def part(x): return x + 1\ndef net(a, b): return part(a)"))
    monkeypatch.setitem(sys.modules, "__main__", main)
    there = elsewhere(main.net)
    assert "__main__" not in there.text and there.model(1, 0) == 2 and there.model is not main.net


def test_keras_is_imported_from_its_public_modules():
    there = elsewhere(
        program("""
            from keras.layers import Dense
            from keras import layers

            def net(image_shape, num_classes):
                return Dense, layers.Dense
        """)["net"]
    )
    assert "from keras.layers import Dense\n" in there.text and there.model(0, 0)[0] is there.model(0, 0)[1]


def typed(text: str):
    """A function without source text, as it is typed at a prompt."""
    names = {"__name__": "__main__"}
    exec(text, names)
    return names["net"]


REMEDY = "make it inside of the function, or put the function into a file and give its name as model='file:function'"
CASES = [
    (lambda: lambda shape, classes: None, "model=<function "),
    (lambda: functools.partial(math.pow, 2), "model=functools.partial(<built-in function pow>, 2) is no function with"),
    (lambda: 3, "model=3 is no function with a name; write def NAME(image_shape, num_classes)"),
    (lambda: typed("def net(a, b): pass"), "model=net has no source text of its own; write it as def net(image_shape"),
    (
        lambda: program("table = object()\ndef net(a, b): return table")["net"],
        f"model=net uses table, which is a object, which has no source text; {REMEDY}",
    ),
    (
        lambda: program("from functools import partial\nf = partial(max, 1)\ndef net(a, b): return f(a)")["net"],
        "model=net uses f, which is a partial, which has no source text; ",
    ),
    (
        lambda: program("f = lambda x: x\ndef net(a, b): return f(a)")["net"],
        "model=net uses <lambda>, which has no source text of its own; ",
    ),
    (
        lambda: program("rate = float('nan')\ndef net(a, b): return rate")["net"],
        "model=net uses rate, which is a float, which has no source text; ",
    ),
    (
        lambda: program("""
            def make(k):
                def part(x): return x + k
                return part
            one, two = make(1), make(2)
            def net(a, b): return one(a), two(b)
        """)["net"],
        "model=net uses part, which has two meanings in what it uses; ",
    ),
]


@pytest.mark.parametrize(("make", "line"), CASES, ids=range(len(CASES)))
def test_what_cannot_be_written_is_refused_in_one_line(make, line):
    with pytest.raises(UsageError) as caught:
        model_source.of(make())
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


def test_a_module_that_no_import_finds_is_refused():
    names = program("def net(a, b): return tool.x")
    names["tool"] = types.ModuleType("made_here")
    assert "made_here" not in sys.modules
    with pytest.raises(
        UsageError, match="model=net uses tool, which is the module made_here, which cannot be imported"
    ):
        model_source.of(names["net"])
