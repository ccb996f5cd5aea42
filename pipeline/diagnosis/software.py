"""Python, the packages, and whether TensorFlow works here."""

import importlib.metadata
import importlib.util
import json
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pipeline
from pipeline.diagnosis.findings import Finding
from pipeline.errors import ExitCode
from pipeline.process import environment

DISTRIBUTION = "tower-pipeline"
PYTHONS = ((3, 10), (3, 13))  # the first and the last one
TRIAL_S = 180
_LEFT_OUT = "test"  # an extra of developers


def python(version: Sequence[int] = tuple(sys.version_info[:3])) -> Finding:
    """The interpreter."""
    virtual = "in a virtual environment" if sys.prefix != sys.base_prefix else "outside of a virtual environment"
    found = f"{platform.python_implementation()} {'.'.join(map(str, version[:3]))}, {virtual}"
    first, last = (".".join(map(str, edge)) for edge in PYTHONS)
    if PYTHONS[0] <= tuple(version[:2]) <= PYTHONS[1]:
        return Finding("Python", found)
    fault = f"Python {version[0]}.{version[1]} has no TensorFlow 2.21; install into one of Python {first} to {last}"
    return Finding("Python", found, fault, ExitCode.USAGE)


def system() -> Finding:
    """The operating system and its C library."""
    libc = " ".join(platform.libc_ver()).strip()
    found = f"{platform.system()} {platform.release()} {platform.machine()}, {libc or 'no glibc'}"
    if platform.system() == "Linux" and libc:
        return Finding("system", found)
    fault = f"{found} is no Linux with glibc, which the wheels of TensorFlow need; use one, as in a container"
    return Finding("system", found, fault, ExitCode.USAGE)


def package() -> Finding:
    """This project, and the way in which it was installed."""
    folder = Path(pipeline.__file__).resolve().parents[1]
    how = "installed from a wheel" if folder.name in ("site-packages", "dist-packages") else "in a checkout"
    if how == "in a checkout" and not (folder / "launch").is_dir():
        how = "in a folder without launchers"
    return Finding("pipeline", f"{pipeline.__version__}, {how}")


def packages() -> Iterator[Finding]:
    """The packages that every training needs, and those of the extras."""
    needed, extras = _requirements()
    faults = [fault for name, rule in needed if (fault := _fault(name, rule))]
    yield Finding(
        "packages",
        f"{len(needed) - len(faults)} of {len(needed)} as needed",
        f"{'; '.join(faults)}: pip install --upgrade {DISTRIBUTION}" if faults else "",
        ExitCode.USAGE if faults else ExitCode.DONE,
    )
    there = [extra for extra, rules in extras.items() if not any(_fault(*rule) for rule in rules)]
    yield Finding("extras", (", ".join(there) or "none") + (f" of {', '.join(extras)}" if extras else ""))


def _requirements() -> tuple[list[tuple[str, str]], dict[str, list[tuple[str, str]]]]:
    """The name and the rule of each package that is needed here, and of those of each extra; as installed."""
    try:
        texts = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:  # not installed: a folder on PYTHONPATH
        texts = ["absl-py", "keras>=3.12,<4", "numpy", "pillow", "tensorflow>=2.21,<2.22", "tqdm"]
    needed: list[tuple[str, str]] = []
    extras: dict[str, list[tuple[str, str]]] = {}
    for text in texts:
        requirement, _, marker = text.partition(";")
        match = re.match(r"([\w.-]+)\s*([^\[]*)$", requirement.strip())  # no extra of another package, see machine.gpus
        extra = re.search(r"extra == ['\"](\w+)", marker)
        if match and (not extra or extra[1] != _LEFT_OUT):
            (extras.setdefault(extra[1], []) if extra else needed).append((match[1], match[2].strip("() ")))
    return needed, extras


def _fault(name: str, rule: str) -> str:
    """What is wrong with the installed version of a package; "" if it is as the rule has it."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is missing"
    if importlib.util.find_spec("packaging") is None:  # TensorFlow brings it
        return ""
    from packaging.specifiers import SpecifierSet

    return "" if SpecifierSet(rule).contains(version, prereleases=True) else f"{name} {version} is not {rule}"


def tensorflow() -> tuple[Finding, int]:
    """Whether TensorFlow can be imported and computes, and the number of GPUs that it sees; -1 if it does not work."""
    command = [sys.executable, "-m", "pipeline.diagnosis.trial"]
    path = str(Path(pipeline.__file__).resolve().parents[1])
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=TRIAL_S, env=_finding_this(path), errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = f"it took more than {TRIAL_S} s" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        return _broken(reason, "is the disk of this Python, or the machine, very slow?"), -1
    if ended.returncode == 0 and (told := _told(ended.stdout)):
        found = f"{told['tensorflow']} with Keras {told['keras']}, imported in {told['seconds']:.1f} s, computes"
        return Finding("TensorFlow", found), told["gpus"]
    return _broken(*_reason(ended.returncode, ended.stderr)), -1


def _finding_this(path: str) -> dict[str, str]:
    """An environment in which a child finds this package, also where it lies in no folder of this Python's own."""
    before = environment.variables().get("PYTHONPATH", "")
    return environment.for_child(PYTHONPATH=f"{path}:{before}" if path.find("-packages") < 0 else before)


def _told(stdout: str) -> dict[str, Any]:
    try:
        return json.loads(stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return {}


def _reason(code: int, stderr: str) -> tuple[str, str]:
    """The reason for the end of a trial, and the remedy."""
    if code == -signal.SIGILL:
        return "this processor lacks instructions that it needs (AVX)", "use another machine"
    if code == -signal.SIGKILL:
        return "it was killed, as for want of memory", "give this machine, or its container, more memory"
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), f"exit code {code}")
    if "No module named 'tensorflow'" in last:
        return "it is not installed", f"pip install {DISTRIBUTION}"
    return last.strip(), f"mend what it says, or reinstall: pip install --force-reinstall {DISTRIBUTION}"


def _broken(reason: str, remedy: str) -> Finding:
    fault = f"TensorFlow does not work here: {reason}; {remedy}"
    return Finding("TensorFlow", "does not work", fault, ExitCode.USAGE)
