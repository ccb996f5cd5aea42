"""Compares ratios with a stored baseline: python -m benchmarks.check [FILE.json ...] [--store].

Without files it measures first, which takes a few minutes; the files are those that `--json` of benchmarks.peers,
benchmarks.scaling and benchmarks.input writes. Ends with 1 if a ratio is worse by more than 10 %. Ratios of contenders
side by side depend on the machine less than speeds do, but they do: each kind of machine has a baseline of its own.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import columns

BASELINE = Path(__file__).parent / "baseline.json"
MACHINE = ("processor", "cores", "gpus")  # what a baseline is of
MAY_DIFFER = ("tensorflow", "keras", "pytorch", "python")  # what is told where it differs
PEERS = "ours,ours_float32,keras_fit,mirrored_loop,feed_dict,handwritten,handwritten_pooled"
SECTIONS = {
    "peers": [
        *("peers", "--sections=one,several,start", "--batches=100,512", f"--contenders={PEERS}"),
        *("--rounds=5", "--images=5000", "--starts=2"),
    ],
    "scaling": ["scaling", "--rounds=3"],
    "input": ["input", "--sections=memory,files32", "--rounds=5"],
}


@dataclasses.dataclass(frozen=True)
class Ratio:
    """The ratio of a contender to another."""

    value: float
    less_is_better: bool

    def gain_since(self, before: "Ratio") -> float:
        """The change since the baseline: 0.1 for 10 % better, -0.1 for 10 % worse."""
        return before.value / self.value - 1 if self.less_is_better else self.value / before.value - 1


def ratios(figures: Mapping[str, Any]) -> dict[str, Ratio]:
    """The ratios in a benchmark's JSON, by name."""
    return {
        f"{c['quantity']}: {c['contender']} / {c['against']}, batch {c['batch']}": Ratio(
            c["ratio"], c["less_is_better"]
        )
        for c in figures["comparisons"]
    }


def machine(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions that a baseline was measured under."""
    return {name: figures[name] for name in MACHINE}


def find(baselines: Sequence[Mapping[str, Any]], wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The baseline of this machine."""
    return next((baseline for baseline in baselines if baseline["machine"] == wanted), None)


def compared(before: Mapping[str, Ratio], now: Mapping[str, Ratio], tolerance: float) -> Iterator[list[str]]:
    """A line for each ratio; the verdict is the last cell."""
    for name in [*before, *(name for name in now if name not in before)]:
        values = [f"{side[name].value:.2f}" if name in side else "" for side in (before, now)]
        if name in before and name in now:
            gain = now[name].gain_since(before[name])
            yield [
                name,
                *values,
                f"{gain:+.0%}",
                "WORSE" if gain < -tolerance else "better" if gain > tolerance else "",
            ]
        else:
            yield [name, *values, "", "not measured" if name in before else "new"]


def stored(baselines: Sequence[Mapping[str, Any]], about: Mapping[str, Any], now: Mapping[str, Ratio]) -> list[dict]:
    """The baselines with this machine's replaced, or added; ratios that were not measured now stay as they were."""
    here = machine(about)
    others = [dict(baseline) for baseline in baselines if baseline["machine"] != here]
    own = find(baselines, here) or {"with": {}, "ratios": {}}
    values = {name: dataclasses.asdict(ratio) for name, ratio in now.items()}
    known = {name: about[name] for name in MAY_DIFFER if name in about}
    return [*others, {"machine": here, "with": own["with"] | known, "ratios": own["ratios"] | values}]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; each has a default."""
    parser = argparse.ArgumentParser("python -m benchmarks.check", description=__doc__.split(":")[0])
    parser.add_argument("files", nargs="*", type=Path, help="figures of benchmarks; without any they are measured")
    parser.add_argument("--sections", default="peers", help=f"what to measure: {','.join(SECTIONS)} (default: peers)")
    parser.add_argument("--tolerance", type=float, default=0.1, help="share that a ratio may lose (default: 0.1)")
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="default: benchmarks/baseline.json")
    parser.add_argument("--store", action="store_true", help="make the figures the baseline of this kind of machine")
    options = parser.parse_args(arguments)
    if unknown := set(options.sections.split(",")) - set(SECTIONS):
        parser.error(f"sections={options.sections}: {', '.join(sorted(unknown))} is not one of {', '.join(SECTIONS)}")
    if missing := [str(file) for file in options.files if not file.is_file()]:
        parser.error(f"{', '.join(missing)}: no such file; give what --json of a benchmark wrote")
    return options


def measure(sections: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The figures of each section's benchmark, whose tables go to stderr."""
    for section in sections:
        module, *options = SECTIONS[section]
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch, "figures.json")
            command = [sys.executable, "-m", f"benchmarks.{module}", *options, f"--json={file}"]
            if code := subprocess.run(command, stdout=sys.stderr).returncode:
                sys.exit(code)
            yield json.loads(file.read_text())


def main() -> int:
    """Measures or reads ratios, then compares or stores them. Returns 1 if a ratio got worse, 2 without a baseline."""
    options = parse()
    read = (json.loads(file.read_text()) for file in options.files)
    every = list(read if options.files else measure(options.sections.split(",")))
    about: dict[str, Any] = {name: value for figures in every for name, value in figures.items()}
    if any(machine(figures) != machine(about) for figures in every):
        sys.exit("the files are of different machines; give those of one")
    now = {name: ratio for figures in every for name, ratio in ratios(figures).items()}
    baselines = json.loads(options.baseline.read_text()) if options.baseline.exists() else []
    if options.store:
        options.baseline.write_text(json.dumps(stored(baselines, about, now), indent=2) + "\n")
        print(f"{options.baseline}: {len(now)} ratios stored for {machine(about)}")
        return 0
    baseline = find(baselines, machine(about))
    if baseline is None:
        print(f"{options.baseline} has no baseline for {machine(about)}; --store makes one")
        return 2
    return report(baseline, about, now, options.tolerance)


def report(baseline: Mapping[str, Any], about: Mapping[str, Any], now: Mapping[str, Ratio], tolerance: float) -> int:
    """Prints the changes. Returns 1 if a ratio got worse."""
    for name, before in baseline["with"].items():
        if name in about and about[name] != before:
            print(f"{name} was {before} for the baseline, and is {about[name]}")
    before = {name: Ratio(**ratio) for name, ratio in baseline["ratios"].items()}
    lines = list(compared(before, now, tolerance))
    print(columns(["ratio", "baseline", "now", "change", ""], lines))
    worse = sum(line[-1] == "WORSE" for line in lines)
    print(f"{worse} of {len(lines)} got worse by more than {tolerance:.0%}")
    return int(worse > 0)


if __name__ == "__main__":
    sys.exit(main())
