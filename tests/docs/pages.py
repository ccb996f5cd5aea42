"""The documents as a reader uses them: their links, the commands in their code blocks, the flags in their text."""

import ast
import functools
import importlib.util
import re
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from absl.flags import Flag

from pipeline import completion

ROOT = Path(__file__).parent.parent.parent
LAUNCHERS = {  # the command whose flags a launcher takes
    "train.sh": "train",
    "supervise.sh": "supervise",
    "local.sh": "supervise",
    "ssh.sh": "supervise",
    "slurm.sbatch": "supervise",
}
WHEEL = "$VIRTUAL_ENV/share/tower-pipeline/"  # where a wheel puts the launchers
FOREIGN_MODULES = {"pytest", "mypy", "pip", "venv"}
# Programs that are none of this project's: their own flags are not checked.
FOREIGN = {
    *("tensorboard", "cat", "cd", "find", "git", "kubectl", "kill", "sleep", "sbatch", "srun", "pip", "bash", "source"),
    *("time", "nice", "ln", "touch", "tail", "rm", "mv", "nft", "ssh", "jq", "diff", "curl", "export"),
    *("prometheus", "wandb"),
}


class Command(NamedTuple):
    """A command of this project in a code block: `target` is a module, or a script's path from the root."""

    page: str
    target: str
    words: tuple[str, ...]  # what follows it

    def __str__(self) -> str:
        return f"{self.page}: {' '.join([self.target, *self.words])}"


def pages() -> list[Path]:
    """Every document of the project."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name(page: Path) -> str:
    """A document's path from the root."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[str]:
    """The shell code blocks of a document."""
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> Iterator[Command]:
    """Every command of this project in a code block of a document, or in the header of a configuration."""
    for page in pages():
        for block in blocks(page.read_text()):
            yield from commands_of(name(page), block)
    for path in sorted((ROOT / "configs").glob("*.flags")):
        lines = re.findall(r"^#   (\S.*)$", path.read_text(), re.MULTILINE)
        yield from commands_of(name(path), "\n".join(lines))


def commands_of(page: str, block: str) -> Iterator[Command]:
    """The commands of a code block. Raises ValueError for a program that is neither of this project nor known."""
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("();|&<"):
                yield from _command(page, words)
                words = []
            else:
                words.append(word)


def _command(page: str, words: list[str]) -> Iterator[Command]:
    """The command that these words are, if it is one of this project, and those that they wrap for Slurm."""
    for word in words:
        if word.startswith("--wrap="):
            yield from commands_of(page, word.removeprefix("--wrap="))
    words = [word for word in words if word != "…"]
    while words and (re.fullmatch(r"[A-Z_]+=.*", words[0]) or words[0] in ("exec", "bash", "sbatch", "time", "nice")):
        words = words[1:]
        while words and words[0].startswith("-"):  # flags of a foreign program
            words = words[1:]
    if not words:
        return
    program = words[0].rpartition("/")[2]
    if program == "python" and words[1] == "-m":
        if words[2] not in FOREIGN_MODULES:
            yield Command(page, words[2], tuple(words[3:]))
    elif program.startswith("pipeline-"):  # a console script
        yield Command(page, program.replace("-", ".", 1), tuple(words[1:]))
    elif words[0].startswith(WHEEL):
        yield Command(page, words[0].removeprefix(WHEEL), tuple(words[1:]))
    elif words[0].startswith(("./launch/", "launch/", "benchmarks/", ".ci/")):
        yield Command(page, words[0].removeprefix("./"), tuple(words[1:]))
    elif program not in FOREIGN:
        raise ValueError(f"{page}: '{words[0]}' is no known program")


@functools.cache
def flags_of(target: str) -> dict[str, Flag | None] | None:
    """The flags of a module or script of this project by name; None if it takes those of another program.

    A flag of pipeline is an absl flag, any other is None. Raises LookupError if there is no such module or script.
    """
    if "/" in target:
        return _flags_of_script(target)
    spec = importlib.util.find_spec(target)
    if spec is None or spec.origin is None:
        raise LookupError(f"{target} is no module")
    package, _, entry_point = target.partition(".")
    if package == "pipeline":
        return dict(completion.flags_of(entry_point))
    path = Path(spec.origin)
    own = _added_arguments(path.with_name("__main__.py") if path.name == "__init__.py" else path)
    return {**completion.flags_of("train"), **own} if target == "tests.browser.screenshots" else own


def _flags_of_script(target: str) -> dict[str, Flag | None] | None:
    path = ROOT / target
    if not path.is_file():
        raise LookupError(f"{target} is no file")
    entry_point = LAUNCHERS.get(path.name)
    if not entry_point:
        return None
    own = re.findall(r"^ +--(\w+)=\*\)", path.read_text(), re.MULTILINE)
    return {**completion.flags_of(entry_point), **dict.fromkeys(own)}


def _added_arguments(path: Path) -> dict[str, Flag | None]:
    """The flags that a module gives to argparse."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    added = [
        node.args[0] for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"
    ]
    names = [argument.value for argument in added if isinstance(argument, ast.Constant)]
    return {name.removeprefix("--"): None for name in names if str(name).startswith("--")}


@functools.cache
def known_flags() -> set[str]:
    """The flags of every command, launcher and benchmark of this project."""
    targets = [f"pipeline.{entry_point}" for entry_point in completion.ENTRY_POINTS]
    targets += [f"launch/{script}" for script in LAUNCHERS]
    modules = [*(ROOT / "benchmarks").glob("*.py"), ROOT / "tests/bits.py", ROOT / "tests/chaos/__main__.py"]
    argparse = [_added_arguments(path) for path in [*modules, ROOT / "benchmarks/shapes/__main__.py"]]
    return set().union(*(flags_of(target) or {} for target in targets), *argparse)


def given(words: Collection[str]) -> dict[str, str]:
    """The flags among words, by name: {'steps': '100'}; 'true' and 'false' for flags without a value."""
    found = {}
    for word in words:
        if match := re.fullmatch(r"--(\w+)(?:=(.*))?", word, re.DOTALL):
            found[match[1]] = "true" if match[2] is None else match[2]
    return found


def links(text: str) -> list[str]:
    """The targets of a document's links and pictures that are not on the web."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(text))
    return [target for target in targets if not target.startswith(("http://", "https://"))]


def anchors(text: str) -> set[str]:
    """The anchors that a document's headings have, as Markdown hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
