"""The tables of benchmarks.peers as a picture: python -m benchmarks.plot FILE.json docs/peers.svg.

A block for each precision, a column for each batch, a bar for each contender on one device. Colours follow the
reader's light or dark mode.
"""

import argparse
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.results import Group, Result

WIDTH, LABELS, GAP, BAR, ROW, HEAD, FIGURE = 900, 236, 24, 14, 22, 62, 58  # pixels; FIGURE: the number behind a bar
STYLE = """
  text { font: 12.5px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; fill: #1c1c1a; }
  .title { font-size: 15px; font-weight: 650; } .soft { fill: #6b6a66; } .own { font-weight: 650; }
  .figure { font-variant-numeric: tabular-nums; }
  .bar { fill: #b9bdc6; } .bar.tricks { fill: none; stroke: #b9bdc6; stroke-width: 1.5; } .bar.own { fill: #2a78d6; }
  @media (prefers-color-scheme: dark) {
    text { fill: #ecebe6; } .soft { fill: #a09f98; }
    .bar { fill: #585d69; } .bar.tricks { stroke: #585d69; } .bar.own { fill: #5a9df0; }
  }
"""


def picture(figures: dict[str, Any]) -> str:
    """The SVG of the figures that `benchmarks.peers --json` wrote."""
    groups = [group for group in map(Group.from_dict, figures["groups"]) if not group.evaluates]
    height, parts = 0, []
    for precision in dict.fromkeys(group.precision for group in groups):
        columns = [group for group in groups if group.precision == precision]
        names = _names(columns)
        parts.append(f'<g transform="translate(0 {height})">{_block(precision, columns, names)}</g>')
        height += HEAD + ROW * len(names) + GAP
    caption = text(0, height, _caption(figures), "soft")
    size = f'width="{WIDTH}" height="{height + 8}" viewBox="0 0 {WIDTH} {height + 8}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><style>{STYLE}</style>'
    return f"{opening}{''.join(parts)}{caption}</svg>\n"


def _names(columns: Sequence[Group]) -> list[str]:
    """The contenders on one device, the fastest at the largest batch first."""
    order = sorted(columns, key=lambda group: group.batch, reverse=True)
    ran = [result.name for group in order for result in group.ran if result.num_devices == 1]
    return [name for name in dict.fromkeys(ran) if name != "ours_float32"]


def _block(precision: str, columns: Sequence[Group], names: Sequence[str]) -> str:
    """One precision: labels on the left, then a column of bars for each batch."""
    parts = [text(0, 16, f"{precision}, images/s", "title")]
    labels = {result.name: result.label for group in columns for result in group.results}
    for row, name in enumerate(names):
        parts.append(text(0, HEAD + ROW * row + BAR - 3, labels[name], "own" if name == "ours" else ""))
    width = (WIDTH - LABELS - GAP * (len(columns) - 1)) / len(columns)
    for number, group in enumerate(columns):
        left = LABELS + number * (width + GAP)
        parts.append(text(left, HEAD - 12, f"batch {group.batch}", "soft"))
        parts += _bars(group, names, left, width - FIGURE)
    return "".join(parts)


def _bars(group: Group, names: Sequence[str], left: float, longest: float) -> list[str]:
    found = {row: result for row, name in enumerate(names) if (result := group.find(name))}
    most = max(result.speed for result in found.values())
    parts = []
    for row, result in found.items():
        top, length = HEAD + ROW * row, longest * result.speed / most
        shape = f'x="{left:.1f}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"'
        parts.append(f'<rect class="bar {_kind(result)}" {shape}/>')
        kind = "figure own" if result.name == "ours" else "figure"
        parts.append(text(left + length + 6, top + BAR - 3, f"{result.speed:,.0f}", kind))
    return parts


def _kind(result: Result) -> str:
    return "own" if result.name == "ours" else "" if result.is_peer else "tricks"


def _caption(figures: dict[str, Any]) -> str:
    where = ", ".join([f"{figures['cores']} cores of {figures['processor']}", *figures["gpus"]])
    with_pytorch = f", PyTorch {figures['pytorch']}" if figures["pytorch"] else ""
    return (
        f"{where}; TensorFlow {figures['tensorflow']}, Keras {figures['keras']}{with_pytorch}; "
        f"medians of {figures['options']['rounds']} rounds. * with our gradient of bias, ReLU and pool"
    )


def text(x: float, y: float, words: str, kind: str) -> str:
    """Words at a place. kind: their classes in STYLE."""
    return f'<text x="{x:.1f}" y="{y}" class="{kind}">{escape(words)}</text>'


def main() -> None:
    """Reads the figures and writes the picture."""
    parser = argparse.ArgumentParser("python -m benchmarks.plot", description=__doc__.split(":")[0])
    parser.add_argument("figures", type=Path, help="a file that benchmarks.peers --json wrote")
    parser.add_argument("picture", type=Path, help="the SVG file to write")
    options = parser.parse_args()
    options.picture.write_text(picture(json.loads(options.figures.read_text())))


if __name__ == "__main__":
    main()
