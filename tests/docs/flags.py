"""Writes docs/flags.md, a table of every flag of every command: python -m tests.docs.flags > docs/flags.md"""

import re
from collections.abc import Iterator, Mapping

from absl.flags import Flag

from pipeline import completion
from pipeline.config import Config

HEAD = """\
# Flags

Written by `python -m tests.docs.flags > docs/flags.md` from the configuration; do not edit it by hand.

Write a flag as `--name=value`. `--flagfile=FILE` names a file of flags, one a line; lines that start with `#` are
comments. A later flag overrides an earlier one. Every command has `--help` and `--version`.

The column "role" says what a flag may change:

| role | meaning |
|---|---|
| mathematics | The numbers of a run. Fixed but for [paths](data.md#data-that-were-moved): another value is refused. |
| kept | Mathematics too. The value 0, or none, lets the first start choose; the choice is then kept. |
| length | How far the run goes. A resume may raise it. |
| execution | How the same numbers are computed, shown and saved. It may differ at every start. |
"""
OTHERS = (
    "A flag without a default may be left out: then it is as the run was trained, or its meaning says what happens."
)


def page() -> str:
    """The text of docs/flags.md."""
    return "\n".join([HEAD, *_train(), *_others()]).rstrip("\n") + "\n"


def _train() -> Iterator[str]:
    """One table for each topic of the configuration, in the order of its fields."""
    flags = completion.flags_of("train")
    yield "## pipeline.train\n"
    yield "The launchers, `pipeline.supervise`, `pipeline.preflight` and `pipeline.sweep` take all of these too.\n"
    for topic in dict.fromkeys(field.metadata["topic"] for field in Config.__dataclass_fields__.values()):
        yield f"### {topic}\n\n| flag | default | role | meaning |\n|---|---|---|---|"
        for name, field in Config.__dataclass_fields__.items():
            if field.metadata["topic"] == topic:
                cells = (*_cells(flags[name]), field.metadata["role"], _meaning(name, flags))
                yield f"| {' | '.join(cells)} |"
        yield ""


def _others() -> Iterator[str]:
    """One table for each of the other commands, of its own flags."""
    yield f"## The other commands\n\n{OTHERS}\n"
    for command in completion.ENTRY_POINTS:
        flags = completion.flags_of(command)
        takes_all = "global_batch" in flags
        own = [name for name in flags if not (takes_all and name in Config.__dataclass_fields__)]
        if command == "train" or not own:
            continue
        yield f"### pipeline.{command}\n\n| flag | default | meaning |\n|---|---|---|"
        for name in own:
            yield f"| {' | '.join(_cells(flags[name]))} | {_meaning(name, flags)} |"
        yield ""


def _cells(flag: Flag) -> tuple[str, str]:
    """The flag's name and its default, as cells of a table."""
    default = (flag.default_as_str or "").strip("'[]")
    return f"`--{flag.name}`", f"`{default}`" if default else ""


def _meaning(name: str, flags: Mapping[str, Flag]) -> str:
    """The help of a flag and the range of its values, as a cell of a table."""
    told = " ".join(str(flags[name].help).partition(";\n")[0].split())
    told = re.sub(r"^<(.+?)>: (.*)", lambda match: f"{match[2]} One of {match[1].replace('|', ', ')}.", told)
    text = told.replace("|", "\\|")
    field = Config.__dataclass_fields__.get(name)
    least, most = (field.metadata["least"], field.metadata["most"]) if field else (None, None)
    bounds = [f"{word} {bound}" for word, bound in (("at least", least), ("at most", most)) if bound not in (None, 0)]
    return f"{text} ({', '.join(bounds)})" if bounds else text


if __name__ == "__main__":
    print(page(), end="")
