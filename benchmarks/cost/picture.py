"""The model as a picture: efficiency by number of workers, a panel for each scenario. PURE."""

from collections.abc import Sequence

from benchmarks.cost.collectives import WAYS
from benchmarks.cost.scenarios import WORKERS, Scenario
from benchmarks.cost.step import efficiency
from benchmarks.plot import STYLE, text
from pipeline.reporting.scales import Scale

WIDTH, HEIGHT, ACROSS = 430, 250, 2  # pixels of a panel; panels in a row
LEFT, RIGHT, TOP, BOTTOM, LINE = 44, 100, 46, 40, 14  # LINE: between two lines of text
KINDS = {"exact": "exact", "all at once": "at-once", "ring": "ring"}
LINES = """
  .line { fill: none; stroke-width: 2; } .grid { stroke: #8884; stroke-width: 1; }
  .exact { stroke: #2a78d6; } .at-once { stroke: #2a78d6; stroke-dasharray: 6 4; }
  .ring { stroke: #d9622b; }
  .left { text-anchor: end; } .middle { text-anchor: middle; }
"""


def picture(scenarios: Sequence[Scenario]) -> str:
    """The SVG."""
    panels = [
        f'<g transform="translate({place % ACROSS * WIDTH} {place // ACROSS * HEIGHT})">{panel(scenario)}</g>'
        for place, scenario in enumerate(scenarios)
    ]
    width, height = ACROSS * WIDTH, -(-len(scenarios) // ACROSS) * HEIGHT
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><style>{STYLE}{LINES}</style>'
    return f"{opening}{''.join(panels)}</svg>\n"


def panel(scenario: Scenario) -> str:
    """The share of linear speed, over workers on a logarithmic axis: a line for each way to sum, named at its end."""
    across = Scale(WORKERS[0], WORKERS[-1], LEFT, WIDTH - RIGHT, logarithmic=True)
    upwards = Scale(0.0, 1.0, HEIGHT - BOTTOM, TOP)
    program = scenario.program
    title = f"{program.network.name}, {program.tower_batch} examples a tower"
    parts = [text(0, 14, title, "own"), text(0, 14 + LINE, scenario.host.name, "soft")]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = upwards.at(share)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(text(LEFT - 6, round(y + 4), f"{share:.0%}", "soft left"))
    for workers in WORKERS[::2]:
        parts.append(text(across.at(workers), HEIGHT - BOTTOM + 20, f"{workers:,}", "soft middle"))
    ends = []
    for name, algorithm in WAYS.items():
        shares = [efficiency(scenario.program, scenario.host, workers, algorithm) for workers in WORKERS]
        places = [f"{across.at(w):.1f} {upwards.at(share):.1f}" for w, share in zip(WORKERS, shares, strict=True)]
        parts.append(f'<path d="M{"L".join(places)}" class="line {KINDS[name]}"/>')
        ends.append((upwards.at(shares[-1]), name))
    return "".join([*parts, *_names(ends)])


def _names(ends: Sequence[tuple[float, str]]) -> list[str]:
    """The names of the ways beside the ends of their lines, or as far above as the name below one needs."""
    named, highest = [], HEIGHT - BOTTOM + 4.0 + LINE
    for y, name in sorted(ends, reverse=True):
        highest = min(y + 4, highest - LINE)
        named.append(text(WIDTH - RIGHT + 6, round(highest), name, "soft"))
    return named
