"""`import pipeline`: light, and with functions that no module of a command replaces."""

import importlib
import importlib.metadata
import subprocess
import sys
import types

import commands
import pytest

import pipeline


def test_an_import_of_the_package_imports_nothing_else():
    code = "import sys, pipeline; print(sorted(name for name in sys.modules if name.startswith('pipeline')))"
    told = subprocess.run([sys.executable, "-c", code], env=commands.environment(), capture_output=True, text=True)
    assert told.stdout == "['pipeline']\n"


def test_a_call_needs_no_tensorflow_of_this_process():
    code = "import sys, pipeline; pipeline.train; print({'tensorflow', 'keras', 'numpy', 'pandas'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], env=commands.environment(), capture_output=True, text=True)
    assert told.stdout == "set()\n"


def test_train_is_the_function_whoever_imports_the_command():
    module = importlib.import_module("pipeline.train")
    assert isinstance(pipeline.train, types.FunctionType) and not isinstance(pipeline.train, types.ModuleType)
    importlib.reload(module)
    import pipeline.train as again
    from pipeline import train

    assert train is again is pipeline.train is pipeline.api.train
    script = importlib.metadata.EntryPoint("pipeline-train", "pipeline.train:run", "console_scripts")
    assert script.load() is module.run is sys.modules["pipeline.train"].run


def test_the_first_import_of_the_command_leaves_the_function_too():
    code = (
        "import pipeline.train; from pipeline.train import main; from pipeline import train; "
        "print(pipeline.train.__module__, train.__name__, main.__module__)"
    )
    told = subprocess.run([sys.executable, "-c", code], env=commands.environment(), capture_output=True, text=True)
    assert told.stdout == "pipeline.api.training train pipeline.train\n"


def test_other_names_are_as_in_any_module():
    assert {"train", "load", "errors", "__version__"} <= set(dir(pipeline))
    assert pipeline.errors is importlib.import_module("pipeline.errors")
    with pytest.raises(AttributeError, match="module 'pipeline' has no attribute 'trian'"):
        _ = pipeline.trian
