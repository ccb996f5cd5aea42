"""PURE: how numbers are written for people."""


def number(value: float) -> str:
    """Four digits or so, as people write them: 1.5M, 125k, 12,500, 0.002, 3e-05."""
    if abs(value) >= 1e9 or 0 < abs(value) < 1e-3:
        return f"{value:.3g}"
    for size, letter in ((1e6, "M"), (1e5, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.4g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def percent(value: float) -> str:
    """As short as it can be, for axes: 0.98 -> 98%, 0.9812 -> 98.12%."""
    return f"{100 * value:.4g}%"


def accuracy(value: float) -> str:
    """With two decimals, for results: 0.98 -> 98.00%."""
    return f"{value:.2%}"


def duration(seconds: float) -> str:
    """Two units at most: 3 h 20 min, 4 min 5 s, 12.3 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 3600:
        return f"{int(minutes)} min {int(seconds % 60)} s"
    return f"{int(hours)} h {int(minutes % 60)} min" if hours < 48 else f"{int(hours / 24)} d {int(hours % 24)} h"
