"""Rows of texts as aligned columns."""

from collections.abc import Collection, Mapping, Sequence


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """One line a row; columns are flush left, those numbered in `right` (from 0) flush right. All rows are as long."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return lines


def pairs(values: Mapping[str, str]) -> str:
    """Names and values in two columns, indented."""
    return "\n".join(f"  {line}" for line in aligned([(name, value) for name, value in values.items()]))
