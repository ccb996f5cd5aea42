"""Every effect has one home, and imports between folders point one way."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
PACKAGE = PROJECT / "pipeline"
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
COMMANDS = sorted(
    (
        *("train", "evaluate", "predict", "export", "inspect", "report", "sweep", "data", "track"),
        *("supervise", "preflight", "doctor", "completion"),
    )
)

# A file may import from its own folder and from layers further up in this list, wherever in the file that stands.
LAYERS = [
    {"__init__"},  # the version, and by name the two functions of api, which are imported when they are asked for
    {"errors"},
    {"text"},
    {"random", "process", "storage"},
    {"augment", "metrics"},
    {"config"},
    {"models", "sources"},
    {"engine"},
    {"workers", "monitoring"},
    {"tracking"},
    {"runs"},
    {"serving", "experiments", "reporting", "datasets", "diagnosis"},
    {"cli", "api"},
    set(COMMANDS),
]

# effect -> (pattern, the files that may have it)
HOMES = {
    "devices are chosen": (r"\btf\.device\(", {"engine/towers.py", "engine/places.py"}),
    "the collective runtime is touched": (
        r"Collective\w+\(|MultiWorkerMirroredStrategy|coordination_config",
        {"workers/cluster.py", "workers/collectives.py"},
    ),
    "devices are configured": (r"\btf\.config\.", {"engine/devices.py"}),
    "the process ends": (r"\bsys\.exit\(|\bos\._exit\(|\bSystemExit\b", {"process/exits.py"}),
    "signals are handled": (r"\bsignal\.signal\(", {"process/preemption.py"}),
    "flags are defined": (
        r"\bDEFINE_\w+\(",
        {"cli/flags.py"} | {f"{name}.py" for name in COMMANDS if name not in ("train", "preflight", "completion")},
    ),
    "the environment is read": (r"\bos\.environ\b|\bos\.getenv\b", {"process/environment.py"}),
    "other processes are started": (
        r"\bsubprocess\.|\bos\.fork\(",
        {
            *("experiments/runner.py", "workers/worker_process.py", "process/private_network.py"),
            *("process/messages.py", "diagnosis/software.py", "api/child.py"),
        },
    ),
    "checkpoint files are read or written": (
        r"\bSaveV2\b|load_checkpoint\(|manifest\.json",
        {"runs/checkpoints.py", "runs/checkpoint_files.py", "runs/manifests.py"},
    ),
    "random state": (r"\bset_seed\(|\.shuffle\(|default_rng\(|np\.random\.rand", set()),
}


def code(file: str) -> str:
    """The file without its comments and strings."""
    tree = ast.parse((PACKAGE / file).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "manifest.json" not in node.value:
            node.value = ""
    return ast.unparse(tree)


@pytest.mark.parametrize("effect", HOMES)
def test_every_effect_has_one_home(effect):
    pattern, homes = HOMES[effect]
    found = {file for file in FILES if re.search(pattern, code(file))}
    assert found - homes == set()
    assert homes - found == set(), "a home without its effect: correct the table"


def unit(path: str) -> str:
    """The folder of a file, or the name of a file in the root."""
    return path.split("/")[0].removesuffix(".py")


def layer(name: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if name in names)


def imported(file: str) -> set[str]:
    """The folders and root files that a file imports, at its top or inside of functions."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pipeline":
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            parts = [alias.name.split(".") for alias in node.names if alias.name.split(".")[0] == "pipeline"]
            names |= {part[1] if len(part) > 1 else "__init__" for part in parts}
    return names


@pytest.mark.parametrize("file", [file for file in FILES if file != "__init__.py"])  # see tests/api/test_package.py
def test_imports_between_folders_point_one_way(file):
    own = unit(file)
    assert {name for name in imported(file) - {own} if layer(name) >= layer(own)} == set()


def test_the_root_holds_the_commands_and_little_else():
    root = {file.removesuffix(".py") for file in FILES if "/" not in file}
    assert root == {*COMMANDS, "__init__", "errors"}
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"} == {
        name for names in LAYERS for name in names if (PACKAGE / name).is_dir()
    }


@pytest.mark.skipif(not (shutil.which("git") and (PROJECT / ".git").exists()), reason="no git, or a copy without it")
def test_every_folder_of_the_project_has_a_purpose():
    names = subprocess.check_output(["git", "-c", "safe.directory=*", "ls-files"], cwd=PROJECT, text=True)
    folders = {name.partition("/")[0] for name in names.splitlines() if "/" in name}
    assert folders == {".ci", ".github", "benchmarks", "configs", "docs", "launch", "pipeline", "tests"}
