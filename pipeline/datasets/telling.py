"""The report of a check, in words or as JSON lines."""

import json
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.datasets.checking import Checked, Member, Report
from pipeline.sources.listing import count
from pipeline.text.tables import aligned

SHOWN = 20  # groups of equal pictures, and classes, in the table; JSON has all


def table(report: Report) -> Iterator[str]:
    """The lines of the report for people: the splits, the classes, then each finding."""
    rows = [("split", "examples", "broken", "MB", "height x width", "seconds", "images/s", "read ms", "decode ms")]
    yield from aligned(
        rows + [_row(name, checked) for name, checked in report.splits.items()], right=(1, 2, 3, 5, 6, 7, 8)
    )
    yield ""
    yield from _classes(report)
    yield from _findings("broken", [f"{fault.split}: {fault.where} {fault.reason}" for fault in report.broken])
    remarks = [fault for checked in report.splits.values() for fault in checked.remarks]
    yield from _findings("perhaps damaged", [f"{fault.split}: {fault.where} {fault.reason}" for fault in remarks])
    yield from _groups("in different splits, with equal pixels", report.leaks)
    yield from _groups("of different classes, with equal pixels", report.contradictions)
    yield from _groups("twice in one split, with equal pixels", report.repetitions)


def _row(name: str, checked: Checked) -> tuple[str, ...]:
    number = max(1, checked.num_examples)
    return (
        name, f"{checked.num_examples:,}", f"{len(checked.broken):,}", f"{checked.num_bytes / 1e6:,.1f}",
        _sizes(checked), f"{checked.seconds:.1f}", f"{checked.num_examples / max(checked.seconds, 1e-9):,.0f}",
        f"{1e3 * checked.read_s / number:.2f}", f"{1e3 * checked.decode_s / number:.2f}",
    )  # fmt: skip


def _sizes(checked: Checked) -> str:
    """'28 x 28', or the least and greatest sides and the number of sizes."""
    if len(checked.sizes) < 2:
        return " x ".join(str(side) for size in checked.sizes for side in size)
    heights, widths = zip(*checked.sizes, strict=True)
    sides = f"{min(heights)} to {max(heights)} x {min(widths)} to {max(widths)}"
    return f"{sides} ({len(checked.sizes):,} sizes)"


def _classes(report: Report) -> Iterator[str]:
    """The number of examples of each class in each split; of many classes the rarest in training, and the commonest."""
    counts = np.stack([checked.counts for checked in report.splits.values()], axis=1)  # [classes, splits]
    rows = [(name, *(f"{n:,}" for n in counts[i])) for i, name in enumerate(report.class_names)]
    if len(rows) > 2 * SHOWN:
        order = np.argsort(report.splits["train"].counts, kind="stable")
        rest = ("...", *("" for _ in report.splits))
        rows = [*(rows[i] for i in order[:SHOWN]), rest, *(rows[i] for i in order[-SHOWN:])]
    right = range(1, 1 + len(report.splits))
    yield from aligned([(count(len(report.class_names), "class", "classes"), *report.splits), *rows], right=right)


def _findings(kind: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"\n{count(len(lines), 'example')} {kind}:"
        yield from (f"  {line}" for line in lines)


def _groups(kind: str, groups: Sequence[Sequence[Member]]) -> Iterator[str]:
    if not groups:
        return
    yield f"\n{count(len(groups), 'picture')} {kind}:"
    for group in groups[:SHOWN]:
        yield "  " + " = ".join(f"{member.split}: {member.where} ({member.class_name})" for member in group)
    if len(groups) > SHOWN:
        yield f"  and {len(groups) - SHOWN:,} more; --format=json lists all"


def json_lines(report: Report) -> Iterator[str]:
    """One JSON object a line: `split` for each split, then `broken`, `remark` and `duplicate` for each finding."""
    for name, checked in report.splits.items():
        sizes = [[*size, number] for size, number in sorted(checked.sizes.items())]
        yield json.dumps(
            {
                "event": "split", "split": name, "examples": checked.num_examples, "bytes": checked.num_bytes,
                "classes": dict(zip(report.class_names, checked.counts.tolist(), strict=True)),
                "sizes": sizes, "seconds": round(checked.seconds, 3),
                "read_seconds": round(checked.read_s, 3), "decode_seconds": round(checked.decode_s, 3),
            }
        )  # fmt: skip
    for checked in report.splits.values():
        for event, faults in (("broken", checked.broken), ("remark", checked.remarks)):
            yield from (json.dumps({"event": event, **fault._asdict()}) for fault in faults)
    for group in report.duplicates:
        yield json.dumps({"event": "duplicate", "examples": [member._asdict() for member in group]})
