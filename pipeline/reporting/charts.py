"""Charts as inline SVG. Colours are CSS classes of page.css, which has one set each for light, dark and print."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

from pipeline.monitoring.history import Points
from pipeline.reporting.scales import Scale, fitted, thinned
from pipeline.text.numbers import number, percent

WIDE, NARROW = 560, 368  # two wide charts or three narrow ones fill a row, with text of one size in both
HEIGHT = 230
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 10, 24
MOST_POINTS, MOST_TOOLTIPS = 500, 60
NUM_COLOURS = 8  # .c0 to .c7 in page.css; further lines are dashed in the same colours

MATRIX_CELL, LETTER = 34, 7
MOST_NUMBERED, MOST_CLASSES = 24, 100  # a matrix of more classes has no numbers; of still more there is no matrix
LONGEST_NAME = 14


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve of a chart."""

    label: str
    points: Points
    colour: int  # the number of one of the page's colours
    faint: bool = False  # whether it is drawn thin, behind the others, as a curve of many noisy points


@dataclasses.dataclass(frozen=True)
class Mark:
    """A step at which something happened."""

    step: int
    label: str


def curves(
    title: str,
    lines: Sequence[Line],
    marks: Sequence[Mark] = (),
    form: Callable[[float], str] = number,
    logarithmic: bool = False,
    width: int = WIDE,
) -> Markup | None:
    """The lines over the step axis; None if they have no point.

    logarithmic: whether the value axis may be logarithmic, as it is where the values span enough.
    """
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    steps = [step for line in lines for step, _ in line.points] + [mark.step for mark in marks]
    values = [value for line in lines for _, value in line.points]
    across = fitted([0, *steps], LEFT, width - RIGHT)
    upwards = fitted(values, HEIGHT - BOTTOM, TOP, may_be_logarithmic=logarithmic)
    parts = [*_axes(across, upwards, form), *(_mark(mark, across) for mark in marks)]
    parts += [_line(line, across, upwards) for line in sorted(lines, key=lambda line: not line.faint)]
    parts += [tip for line in lines for tip in _tooltips(line, across, upwards, form)]
    return _svg(title, width, HEIGHT, parts)


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> Markup:
    # Every text in `parts` went through `escape`; the rest are numbers.
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def _axes(across: Scale, upwards: Scale, form: Callable[[float], str]) -> list[str]:
    parts = []
    for value in upwards.ticks():
        y = upwards.at(value)
        parts.append(f'<line x1="{LEFT}" x2="{across.stop}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(_text(LEFT - 7, y + 4, form(value), "tick left"))
    floor = HEIGHT - BOTTOM
    parts.append(f'<line x1="{LEFT}" x2="{across.stop}" y1="{floor}" y2="{floor}" class="axis"/>')
    for step in across.ticks():
        end = "tick right" if across.at(step) > across.stop - 12 else "tick"
        parts.append(_text(across.at(step), HEIGHT - 7, number(step), end))
    return parts


def _mark(mark: Mark, across: Scale) -> str:
    x = across.at(mark.step)
    return (
        f'<g class="mark"><line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<path d="M{x:.1f} {HEIGHT - BOTTOM}l-4 -7h8z"/><title>{escape(mark.label)}</title></g>'
    )


def _line(line: Line, across: Scale, upwards: Scale) -> str:
    places = [f"{across.at(s):.1f} {upwards.at(v):.1f}" for s, v in thinned(line.points, MOST_POINTS)]
    kind = f"line c{line.colour % NUM_COLOURS}" + (" faint" if line.faint else "")
    kind += " dashed" if line.colour >= NUM_COLOURS else ""
    if len(places) == 1:
        x, y = places[0].split()
        return f'<circle cx="{x}" cy="{y}" r="3" class="dot c{line.colour % NUM_COLOURS}"/>'
    return f'<path d="M{"L".join(places)}" class="{kind}"/>'


def _tooltips(line: Line, across: Scale, upwards: Scale, form: Callable[[float], str]) -> list[str]:
    """The tooltips of a line's points. They need no script, since mail programs run none."""
    return [
        f'<circle cx="{across.at(step):.1f}" cy="{upwards.at(value):.1f}" r="6" class="tip">'
        f"<title>{escape(line.label)}, step {step:,}: {escape(form(value))}</title></circle>"
        for step, value in thinned(line.points, MOST_TOOLTIPS)
    ]


def matrix(counts: np.ndarray, class_names: Sequence[str], accuracies: np.ndarray | None = None) -> Markup | None:
    """The confusion matrix. A cell's shade is its share of its row. None for more than MOST_CLASSES classes.

    counts: [classes, classes], true classes down and predicted classes across. accuracies: [classes], where they are
    not the shares on the diagonal.
    """
    classes = len(class_names)
    if classes > MOST_CLASSES:
        return None
    numbered = classes <= MOST_NUMBERED
    cell = MATRIX_CELL if numbered else MATRIX_CELL * MOST_NUMBERED / classes
    names = [_short(name) for name in class_names]
    margin = 12 + LETTER * max(map(len, names)) if numbered else 0
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    accuracies = shares.diagonal() if accuracies is None else accuracies
    parts = []
    for i, j in np.ndindex(classes, classes):
        tip = f"{counts[i, j]:,} of class {class_names[i]} were taken for {class_names[j]} ({percent(shares[i, j])})"
        square = _cell(int(counts[i, j]), float(shares[i, j]), cell, is_right=i == j, is_numbered=numbered, tip=tip)
        parts.append(f'<g transform="translate({margin + j * cell:.1f} {margin + i * cell:.1f})">{square}</g>')
    end = margin + classes * cell
    for i, name in enumerate(names if numbered else ()):
        middle = margin + (i + 0.5) * cell
        parts.append(_text(margin - 7, middle + 4, name, "tick left"))
        parts.append(_text(end + 7, middle + 4, percent(accuracies[i]), "tick right-of"))
        parts.append(_column_name(middle, margin - 7, name))
    return _svg("confusion matrix", end + (52 if numbered else 0), end, parts)


def _cell(count: int, share: float, cell: float, *, is_right: bool, is_numbered: bool, tip: str) -> str:
    """A cell at the origin. share: of its row. tip: the text of its tooltip."""
    square = f'<rect width="{cell - 2:.1f}" height="{cell - 2:.1f}" rx="3" '
    if not count:
        return f'{square}class="empty"/>'
    # A single mistake must be visible: the shade of mistakes begins at a tenth, and is full at a fifth of the row.
    opacity = 0.15 + 0.75 * share if is_right else min(0.1 + 4.5 * share, 1)
    kind = "right" if is_right else "wrong"
    shade = f'{square}class="{kind}" fill-opacity="{opacity:.2f}"><title>{escape(tip)}</title></rect>'
    if not is_numbered:
        return shade
    return shade + _text(cell / 2 - 1, cell / 2 + 3, number(count), "count strong" if opacity > 0.5 else "count")


def _column_name(x: float, y: float, name: str) -> str:
    if len(name) <= 3:
        return _text(x, y, name, "tick")
    return f'<text transform="translate({x + 4:.1f} {y}) rotate(-90)" class="tick right-of">{escape(name)}</text>'


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def shares(title: str, seconds: Mapping[str, float]) -> Markup:
    """A bar divided in proportion to the seconds of the phases, in their order and in the page's colours."""
    total, x, parts = sum(seconds.values()), 0.0, []
    for colour, (phase, spent) in enumerate(seconds.items()):
        width = 1000 * spent / total
        parts.append(
            f'<rect x="{x:.1f}" y="0" width="{max(width - 2, 0.5):.1f}" height="26" rx="4" '
            f'class="fill c{colour % NUM_COLOURS}"><title>{escape(phase)}: {percent(spent / total)}</title></rect>'
        )
        x += width
    return _svg(title, 1000, 26, parts)
