"""Entry point: python -m pipeline.completion bash. Prints a script with which a shell completes flags and values."""

import importlib
import shlex
from pathlib import Path

from absl import flags as absl_flags

from pipeline import models, sources, tracking
from pipeline.cli import command, flags
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.text.spelling import nearest

SHELLS = ("bash", "zsh")
ENTRY_POINTS = (
    *("train", "evaluate", "predict", "export", "inspect", "report", "sweep"),
    *("data", "track", "supervise", "preflight", "doctor", "completion"),
)
FILES, DIRECTORIES = "files", "directories"


def define_flags() -> None:
    """Defines nothing: this command has no flags."""


def main(shells: list[str]) -> None:
    """Prints the script."""
    if len(shells) != 1:
        raise UsageError(f"{len(shells)} shells were named; name one of: {', '.join(SHELLS)}")
    if shells[0] not in SHELLS:
        raise UsageError(f"shell={shells[0]} is unknown{nearest(shells[0], SHELLS)}")
    print(script(shells[0]), end="")


def script(shell: str) -> str:
    """The script: two functions with all flags and their values, then completion.SHELL, which calls them."""
    return "\n".join([*_tables(), Path(command.__file__).with_name(f"completion.{shell}").read_text()])


def _tables() -> list[str]:
    """The functions _pipeline_flags ENTRY_POINT and _pipeline_values ENTRY_POINT:FLAG, in lines for bash and zsh."""
    names, values = ["_pipeline_flags() {", "    case $1 in"], ["_pipeline_values() {", "    case $1 in"]
    for entry_point in ENTRY_POINTS:
        known = flags_of(entry_point)
        forms = [name if flag.boolean else f"{name}=" for name, flag in known.items()]
        words = [f"--{form}" for form in (*forms, "flagfile=", "help")]
        names.append(f"    {entry_point}) echo {' '.join(words)} ;;")
        for name, flag in known.items():
            if candidates := values_of(name, flag):
                values.append(f"    {entry_point}:{name}) echo {' '.join(map(shlex.quote, candidates))} ;;")
    values.append(f"    *:flagfile) echo {FILES} ;;")
    values += [f"    *:source:{kind}) echo {paths} ;;" for kind in sources.KINDS if (paths := paths_of(kind))]
    entry_points = f"_pipeline_entry_points='{' '.join(ENTRY_POINTS)}'"
    return [*names, "    esac", "}", "", *values, "    esac", "}", entry_points]


def flags_of(entry_point: str) -> dict[str, absl_flags.Flag]:
    """The flags of an entry point by name, without absl's own."""
    foreign = set(absl_flags.FLAGS)
    module = importlib.import_module(f"pipeline.{entry_point}")
    getattr(module, "define_flags", flags.define)()
    known = {name: absl_flags.FLAGS[name] for name in absl_flags.FLAGS if name not in foreign}
    for name in known:  # so that the next entry point can define a flag of the same name
        delattr(absl_flags.FLAGS, name)
    return known


def values_of(name: str, flag: absl_flags.Flag) -> list[str]:
    """The candidates for a flag's value: [FILES], [DIRECTORIES], or words; [] where anything is allowed.

    A word that ends with ':' or '=' is only the beginning of a value.
    """
    if name.endswith("_dir") or name == "draw":
        return [DIRECTORIES]
    if name in ("output", "init_from", "class_names"):
        return [FILES]
    if name == "vary":
        return [f"{field}=" for field in Config.__dataclass_fields__]
    if name == "model":
        return list(models.REGISTRY)
    if name == "source":
        return [kind + (":" if form.form.startswith(":") else "") for kind, form in sources.KINDS.items()]
    if name == "track":
        return list(tracking.TRACKERS)
    if name == "checkpoint":
        return ["latest", "best"]
    field = Config.__dataclass_fields__.get(name)
    choices = field.metadata["choices"] if field else getattr(flag.parser, "enum_values", None)
    return ["true", "false"] if flag.boolean else list(choices or ())


def paths_of(kind: str) -> str:
    """The paths that may follow a kind of source: FILES, DIRECTORIES or none, ""."""
    return {"DIR": DIRECTORIES, "FILE": FILES, "GLOB": FILES}.get(sources.KINDS[kind].argument, "")


def run() -> None:
    """The console command."""
    usage = f"python -m pipeline.completion {'|'.join(SHELLS)}   (then: source <(python -m pipeline.completion bash))"
    command.run(main, define_flags, usage=usage, positional="SHELL")


if __name__ == "__main__":
    run()
