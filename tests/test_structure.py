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
        r"Collective\w+\(|MultiWorkerMirroredStrategy|coordination_config",
        {"workers/cluster.py"},
    ),
    "devices are configured": (r"\btf\.config\.", {"devices.py"}),
    "the process ends": (r"\bsys\.exit\(|\bos\._exit\(|\bSystemExit\b", {"exits.py"}),
    "signals are handled": (r"\bsignal\.signal\(", {"preemption.py"}),
    "flags are defined": (
        r"\bDEFINE_\w+\(",
        {"flags.py", "evaluate.py", "export.py", "inspect.py", "predict.py", "supervise.py", "report.py", "sweep.py"},
    ),
    "the environment is read": (r"\bos\.environ\b|\bos\.getenv\b", {"command.py", "workers/surroundings.py"}),
    "other processes are started": (
        r"\bsubprocess\.|\bos\.fork\(",
        {"experiments/series.py", "workers/worker_process.py"},
    ),
    "checkpoint files are read or written": (
        r"\bSaveV2\b|load_checkpoint\(|manifest\.json",
        {"persistence/checkpoint.py", "persistence/manifests.py"},
    ),
    "random state": (r"\bset_seed\(|\.shuffle\(|default_rng\(|np\.random\.rand", set()),
}

# Folders that only group modules; other packages stand as a whole.
GROUPS = {"workers", "persistence", "monitoring", "experiments", "serving"}

# Whoever stands further down may import whoever stands above, never the other way.
LAYERS = [
    ["spelling"],
    ["exits"],
    ["config", "preemption", "clock", "reduce", "plan", "arrays", "chunks", "gradients"],
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
    ["devices", "schedules", "optimizers", "batches", "forward", "journal", "placement", "images"],
    ["averaging", "loss_scale"],
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


def module_of(parts: list[str]) -> str:
    """The module, or the package that stands as a whole, that a path below pipeline/ is part of."""
    return parts[1] if parts[0] in GROUPS and len(parts) > 1 else parts[0]


def imports_at_top(file: str) -> set[str]:
    """The modules of pipeline that a file imports when it is imported, not inside a function."""
    names = set()
    for node in ast.parse((PACKAGE / file).read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pipeline":
            parts = node.module.split(".")[1:]
            paths = [parts] if parts and parts != [*GROUPS & set(parts)] else [[*parts, a.name] for a in node.names]
            names |= {module_of(path) for path in paths}
    return names


@pytest.mark.parametrize(
    "file", [f for f in FILES if f != "__init__.py" and f.removesuffix("/__init__.py") not in GROUPS]
)
def test_imports_point_one_way(file):
    own = module_of(file.removesuffix(".py").split("/"))
    upwards = {name for name in imports_at_top(file) if name != own and level(name) >= level(own)}
    assert upwards == set()
