"""Every effect has one home, and imports point one way."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pipeline"
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

# effect -> (pattern, the files that may have it)
HOMES = {
    "devices are chosen": (r"\btf\.device\(", {"towers.py"}),
    "the collective runtime is touched": (
        r"Collective\w+\(|MultiWorkerMirroredStrategy|tensorflow\.python",
        {"cluster.py"},
    ),
    "devices are configured": (r"\btf\.config\.", {"devices.py"}),
    "the process ends": (r"\bsys\.exit\(|\bos\._exit\(|\bSystemExit\b", {"exits.py"}),
    "signals are handled": (r"\bsignal\.signal\(", {"preemption.py"}),
    "flags are defined": (
        r"\bDEFINE_\w+\(",
        {"flags.py", "evaluate.py", "export.py", "inspect.py", "predict.py", "supervise.py", "report.py", "sweep.py"},
    ),
    "the environment is read": (r"\bos\.environ\b|\bos\.getenv\b", {"command.py", "surroundings.py"}),
    "other processes are started": (r"\bsubprocess\.|\bos\.fork\(", {"series.py", "worker_process.py"}),
    "checkpoint files are read or written": (
        r"\bSaveV2\b|load_checkpoint\(|manifest\.json",
        {"checkpoint.py", "manifests.py"},
    ),
    "random state": (r"\bset_seed\(|\.shuffle\(|default_rng\(|np\.random\.rand", set()),
}

# Whoever stands further down may import whoever stands above, never the other way.
LAYERS = [
    ["exits"],
    ["config", "preemption", "clock", "reduce", "plan", "arrays", "chunks"],
    ["figures", "hostlists", "manifests", "ports"],
    ["surroundings", "readiness", "versions"],
    ["topology", "models", "augment", "sources", "storage", "ownership", "peers", "roll_call"],
    ["progress", "pictures", "summaries", "graphs", "profiling"],
    ["flags", "events", "hparams", "grid"],
    ["command", "run_directory", "supervisor_log", "worker_process"],
    ["watchdog", "supervisor", "chronicle"],
    ["standings"],
    ["series"],
    ["repeat"],
    ["devices", "schedules", "optimizers", "batches", "forward", "journal", "placement", "loss_scale", "images"],
    ["inputs", "verdicts"],
    ["state", "failures"],
    ["checkpoint", "towers", "formats"],
    ["cluster"],
    ["step", "evaluation", "prediction", "resume", "job", "start"],
    ["gallery"],
    ["assembly"],
    ["trainer", "saved_run", "dry_run", "exporting", "importing"],
    ["loop", "watch", "reporting"],
    ["training"],
    ["train", "evaluate", "predict", "inspect", "export", "supervise", "preflight", "report", "sweep"],
    ["completion"],
]


def code(file: str) -> str:
    """The file without its comments and strings."""
    source = (PACKAGE / file).read_text()
    tree = ast.parse(source)
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


def level(module: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if module in layer)


def imports_at_top(file: str) -> set[str]:
    """The first-level pipeline modules that a file imports when it is imported, not inside a function."""
    names = set()
    for node in ast.parse((PACKAGE / file).read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pipeline":
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("file", [file for file in FILES if file != "__init__.py"])
def test_imports_point_one_way(file):
    own = file.removesuffix(".py").split("/")[0]
    upwards = {name for name in imports_at_top(file) if name != own and level(name) >= level(own)}
    assert upwards == set()
