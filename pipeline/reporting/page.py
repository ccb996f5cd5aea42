"""The page: page.html, filled in, with page.css inside."""

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

import pipeline
from pipeline.reporting.comparison import Comparison
from pipeline.reporting.views import RunView
from pipeline.text.numbers import accuracy, number, percent


def render(runs: Sequence[RunView]) -> str:
    """The report on one run, or the comparison of several, as self-contained HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(accuracy=accuracy, breakable=_breakable, number=number, percent=percent)
    title, subtitle = _heading(runs)
    return environment.get_template("page.html").render(
        title=title,
        subtitle=subtitle,
        runs=runs,
        comparison=Comparison(runs),
        made=time.strftime("%Y-%m-%d at %H:%M"),
        version=pipeline.__version__,
    )


def _heading(runs: Sequence[RunView]) -> tuple[str, str]:
    """The title, and a line below it."""
    configs = [run.record.config for run in runs]
    trainings = {f"{config.model} on {config.source}" for config in configs}
    if len(runs) == 1:
        return trainings.pop(), str(runs[0].record.directory.path.resolve())
    training = f", {trainings.pop()}" if len(trainings) == 1 else ""
    common = os.path.commonpath([run.record.directory.path.resolve().parent for run in runs])
    return f"{len(runs)} runs compared{training}", f"in {common}"


def _breakable(name: str) -> Markup:
    """The name, with breaks allowed after a comma, a slash or an underscore in a narrow column."""
    return Markup(re.sub(r"([,/_])", r"\1<wbr>", str(escape(name))))
