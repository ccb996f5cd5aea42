"""TensorFlow is not imported where it could only abort, nor with packages that nobody asked for."""

import gc
import importlib
import resource
import subprocess
import sys

import pytest

from pipeline.process import startup
from pipeline.process.startup import LEAST_ADDRESS_SPACE

PROGRAM = """
from pipeline.errors import PipelineError
from pipeline.process.exits import exit_with
from pipeline.process.startup import import_tensorflow
try:
    import_tensorflow()
except PipelineError as error:
    exit_with(error)
"""


def test_too_little_room_for_addresses_is_one_line():
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (LEAST_ADDRESS_SPACE - 1, LEAST_ADDRESS_SPACE - 1))

    ended = subprocess.run([sys.executable, "-c", PROGRAM], stderr=subprocess.PIPE, text=True, preexec_fn=limit)
    assert (ended.returncode, ended.stderr) == (
        64,
        "usage: ulimit -v allows this process 2,559 MiB of addresses, and TensorFlow alone takes 2,560 MiB; "
        "raise it, or limit memory by a cgroup\n",
    )


def test_a_package_is_hidden_only_from_the_imports_inside():
    name = "xml.sax.saxutils"
    sys.modules.pop(name, None)
    with startup.hidden(name, "xml.sax"), pytest.raises(ImportError):
        importlib.import_module(name)
    assert importlib.import_module(name).escape("<") == "&lt;"
    with startup.hidden(name):
        assert importlib.import_module(name).escape("<") == "&lt;", "a module that is there already must stay"


def test_in_a_process_of_the_user_keras_knows_what_is_installed():
    pytest.importorskip("pandas")
    program = (
        "from pipeline.process.startup import import_tensorflow; import_tensorflow(for_user=True); "
        "from keras.src.trainers.data_adapters import array_slicing; assert array_slicing.pandas"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(("argument", "frozen"), [("", True), ("for_user=True", False)])
def test_what_stays_is_out_of_the_collectors_sight_but_not_what_is_the_users(argument, frozen):
    program = (
        "import gc; from pipeline.process.startup import import_tensorflow; "
        f"import_tensorflow({argument}); first = gc.get_freeze_count(); kept = [[] for _ in range(1000)]; "
        f"import_tensorflow({argument}); assert gc.get_freeze_count() == first; assert (first > 100_000) == {frozen}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_imported_inside_is_not_collected_and_afterwards_all_is_as_before():
    for was_enabled in (True, False):
        (gc.enable if was_enabled else gc.disable)()
        try:
            with startup._uncollected():
                assert not gc.isenabled()
            assert gc.isenabled() == was_enabled
        finally:
            gc.enable()


@pytest.mark.parametrize(("asked", "allowed"), [(50, 64), (100, 100), (10_000, 128)])
def test_more_files_may_be_open_up_to_what_the_process_may_be_allowed(asked, allowed):
    program = (
        "import resource; from pipeline.process.startup import allow_open_files; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128)); allow_open_files({asked}); "
        f"assert resource.getrlimit(resource.RLIMIT_NOFILE) == ({allowed}, 128)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
