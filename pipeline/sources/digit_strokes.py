"""The strokes of the embedded digits: several ways of writing each, as paths of lines and cubic Béziers.

A path is written as in SVG: `M x,y` lifts the pen, `L x,y` draws a line, `C x1,y1 x2,y2 x,y` a curve. A digit stands
in the box from 0,0 (top left) to 1,1 (bottom right).
"""

import numpy as np

POINTS = 56  # on each glyph, evenly spaced along its strokes

# fmt: off
PATHS: tuple[tuple[str, ...], ...] = (
    (  # 0
        "M.5,0 C.24,0 .2,.28 .2,.5 C.2,.74 .28,1 .5,1 C.74,1 .8,.72 .8,.5 C.8,.26 .74,0 .5,0",
        "M.56,.02 C.36,.06 .24,.36 .26,.62 C.28,.86 .36,1 .48,1 C.66,1 .76,.66 .74,.4 C.72,.16 .64,-.02 .48,.04",
        "M.62,.1 C.4,-.1 .14,.14 .16,.52 C.18,.9 .36,1.02 .52,1 C.78,.96 .86,.7 .84,.44 C.82,.16 .68,.02 .46,.02",
    ),
    (  # 1
        "M.5,0 L.5,1",
        "M.32,.22 L.54,0 L.52,1",
        "M.3,.22 L.52,0 L.52,1 M.28,1 L.76,1",
    ),
    (  # 2
        "M.22,.26 C.24,-.06 .78,-.1 .78,.27 C.78,.52 .4,.76 .2,1 L.82,1",
        "M.24,.22 C.3,-.06 .78,-.08 .76,.28 C.74,.56 .46,.9 .3,.98 C.12,1.04 .14,.74 .36,.82 C.5,.88 .66,1.06 .86,.9",
        "M.2,.16 C.42,-.1 .86,.02 .72,.4 C.62,.66 .34,.8 .2,1 C.4,.9 .6,1.04 .84,.94",
    ),
    (  # 3
        "M.22,.12 C.4,-.06 .78,-.04 .76,.24 C.74,.42 .56,.47 .42,.48 C.6,.48 .8,.55 .8,.75 C.8,1.04 .4,1.08 .2,.88",
        "M.22,0 L.76,0 L.46,.4 C.66,.38 .82,.5 .8,.72 C.78,1.02 .42,1.08 .2,.88",
        "M.26,.06 C.5,-.06 .8,.02 .7,.26 C.64,.4 .52,.46 .4,.5 C.58,.46 .74,.56 .7,.74 C.66,.94 .42,1.02 .18,.98",
    ),
    (  # 4
        "M.66,1 L.66,0 L.18,.66 L.86,.66",
        "M.3,.02 C.28,.2 .22,.4 .2,.54 L.82,.54 M.72,.04 L.66,1",
        "M.26,0 C.2,.3 .18,.48 .26,.52 C.42,.54 .6,.52 .76,.44 M.76,0 C.74,.3 .72,.6 .7,1",
    ),
    (  # 5
        "M.76,0 L.3,0 L.26,.42 C.46,.32 .8,.36 .8,.68 C.8,1 .46,1.08 .2,.9",
        "M.34,.02 L.28,.44 C.5,.32 .78,.44 .74,.72 C.7,1 .38,1.06 .18,.92 M.34,.02 L.82,0",
        "M.8,.02 C.6,.06 .46,.04 .36,.04 C.32,.2 .28,.32 .24,.46 C.44,.36 .7,.46 .68,.7 C.66,.9 .42,1.02 .18,.96",
    ),
    (  # 6
        "M.7,.02 C.4,.14 .2,.44 .2,.7 C.2,.94 .38,1 .5,1 C.68,1 .78,.88 .78,.72 C.78,.55 .62,.48 .5,.48 "
        "C.38,.48 .24,.58 .21,.72",
        "M.56,0 C.4,.24 .26,.5 .24,.7 C.22,.92 .38,1.02 .52,1 C.7,.96 .76,.8 .72,.68 C.66,.5 .4,.52 .25,.76",
        "M.76,.14 C.62,-.06 .24,.02 .2,.58 C.18,.9 .38,1.02 .54,1 C.74,.98 .8,.8 .76,.68 C.68,.48 .34,.48 .22,.7",
    ),
    (  # 7
        "M.2,0 L.8,0 C.66,.3 .5,.6 .42,1",
        "M.2,.02 L.8,0 C.64,.36 .52,.64 .44,1 M.34,.52 L.76,.48",
        "M.2,.16 C.22,.02 .3,0 .4,.04 C.56,.1 .66,.06 .8,0 C.7,.3 .62,.6 .6,1",
    ),
    (  # 8
        "M.5,.47 C.3,.4 .25,.3 .25,.22 C.25,.08 .38,0 .5,0 C.65,0 .75,.1 .75,.22 C.75,.35 .62,.42 .5,.47 "
        "C.3,.55 .2,.65 .2,.77 C.2,.92 .35,1 .5,1 C.68,1 .8,.9 .8,.76 C.8,.62 .68,.54 .5,.47",
        "M.74,.12 C.6,-.06 .28,-.04 .27,.2 C.27,.42 .74,.5 .77,.76 C.78,1.06 .22,1.06 .22,.77 C.22,.52 .7,.42 .74,.12",
        "M.56,.44 C.36,.4 .3,.26 .36,.12 C.44,-.06 .74,-.02 .74,.18 C.74,.36 .62,.42 .52,.5 C.36,.6 .24,.7 .28,.86 "
        "C.34,1.06 .66,1.02 .68,.8 C.7,.6 .6,.52 .5,.46",
    ),
    (  # 9
        "M.76,.25 C.74,.05 .6,0 .48,0 C.32,0 .22,.12 .22,.27 C.22,.42 .34,.5 .47,.5 C.62,.5 .74,.4 .76,.25 "
        "C.78,.5 .74,.8 .64,1",
        "M.72,.1 C.54,-.06 .24,.02 .24,.3 C.24,.56 .6,.54 .72,.2 L.7,1",
        "M.76,.26 C.74,.02 .5,-.04 .36,.06 C.2,.18 .22,.46 .42,.5 C.6,.52 .74,.42 .76,.26 C.86,.66 .7,1.08 .28,.94",
    ),
)
# fmt: on


def points(path: str) -> np.ndarray:
    """[POINTS, 2] float32: the path's strokes at even distances, x to the right and y down from the box's centre.

    The box is then 2 wide and 2 high.
    """
    strokes = [_polyline(stroke) for stroke in path.split("M")[1:]]
    lengths = np.array([_steps(stroke).sum() for stroke in strokes])
    counts = np.maximum(2, np.rint(lengths / lengths.sum() * POINTS).astype(int))
    counts[0] += POINTS - counts.sum()
    even = np.concatenate([_resample(stroke, count) for stroke, count in zip(strokes, counts, strict=True)])
    # On a grid of 1/4096, so that no compiler's rounding of the lines above is seen below.
    return (np.rint((2 * even - 1) * 4096) / 4096).astype(np.float32)


def spacing(points: np.ndarray) -> np.float32:
    """The distance from one point to the next along a stroke."""
    return np.median(_steps(points))  # most steps are along a stroke, a few from one to the next


def _polyline(stroke: str) -> np.ndarray:
    """[n, 2]: one stroke, its curves cut into 16 lines each."""
    numbers = stroke.replace("L", " L ").replace("C", " C ").split()
    line = [_point(numbers.pop(0))]
    while numbers:
        command = numbers.pop(0)
        if command == "L":
            line.append(_point(numbers.pop(0)))
        else:
            controls = [line[-1], *(_point(numbers.pop(0)) for _ in range(3))]
            line.extend(_bezier(controls, t / 16) for t in range(1, 17))
    return np.array(line)


def _point(text: str) -> np.ndarray:
    return np.array([float(number) for number in text.split(",")])


def _bezier(controls: list[np.ndarray], t: float) -> np.ndarray:
    a, b, c, d = controls
    s = 1 - t
    return s * s * s * a + 3 * s * s * t * b + 3 * s * t * t * c + t * t * t * d


def _steps(line: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(np.diff(line, axis=0)).sum(axis=1))


def _resample(line: np.ndarray, count: int) -> np.ndarray:
    along = np.concatenate([[0], np.cumsum(_steps(line))])
    wanted = np.linspace(0, along[-1], count)
    return np.stack([np.interp(wanted, along, line[:, axis]) for axis in (0, 1)], axis=1)
