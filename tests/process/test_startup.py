"""TensorFlow is not imported where it could only abort."""

import resource
import subprocess
import sys

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
