"""Prints the model's tables and writes its picture: python -m benchmarks.cost [--svg=FILE] [--beside=FILE]."""

import argparse
import json
from pathlib import Path

from benchmarks import cost
from benchmarks.cost import hosts, scenarios, tables
from benchmarks.cost.picture import picture


def main() -> None:
    """Reads the parameters, prints the tables, writes the picture."""
    parser = argparse.ArgumentParser("python -m benchmarks.cost", description=cost.__doc__.split(":")[0])
    parser.add_argument("--parameters", type=Path, help="a file of benchmarks.cost.measure --json")
    parser.add_argument("--beside", type=Path, action="append", help="a file of benchmarks.scaling --json")
    parser.add_argument("--svg", type=Path, help="a picture of the efficiency")
    options = parser.parse_args()
    found = hosts.measured(options.parameters) if options.parameters else hosts.measured()
    if options.beside:
        pairs = [pair for file in options.beside for pair in tables.beside(found, json.loads(file.read_text()))]
        print(tables.comparison(pairs))
        return
    jobs = scenarios.scenarios(found)
    largest = jobs[0]
    parts = [*map(tables.steps, jobs), tables.events(largest), tables.items(largest, scenarios.WORKERS[-1])]
    print("\n\n".join(parts))
    if options.svg:
        options.svg.write_text(picture(jobs))


if __name__ == "__main__":
    main()
