"""Pictures of a split's metrics: a confusion matrix of any number of classes, and the calibration."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from pipeline.metrics.calibration import NUM_BINS, Calibration
from pipeline.metrics.counts import Pair, condensed, worst_pairs
from pipeline.monitoring import pictures
from pipeline.monitoring.pictures import FAINT, INK, MARGIN, PAPER, RIGHT, WRONG

MOST_WHOLE = 60  # classes of a matrix that is drawn whole, with names; of more classes, the worst are drawn
WORST_CLASSES, WORST_PAIRS = 24, 20
LINE = 18  # pixels of a line of text
SIDE = 360  # pixels of the calibration's square


def confusion(counts: np.ndarray, class_names: Sequence[str]) -> Image.Image:
    """The confusion matrix, [classes, classes], as `pictures.confusion` draws it.

    Of more than MOST_WHOLE classes, those of the worst pairs are drawn, all others as one, above a list of these pairs.
    """
    if len(counts) <= MOST_WHOLE:
        return pictures.confusion(counts, class_names)
    part = condensed(counts, WORST_CLASSES)
    drawn = pictures.confusion(part.confusion, part.names(class_names), part.accuracies)
    return _above(drawn, _listed(worst_pairs(counts, WORST_PAIRS), class_names))


def _listed(pairs: Sequence[Pair], class_names: Sequence[str]) -> Image.Image:
    """Lines about the worst pairs, each with a bar for the share of the class that was taken for the other."""
    picture = Image.new("RGB", (pictures.MATRIX_SIDE, LINE * (len(pairs) + 1) + 2 * MARGIN), PAPER)
    draw = ImageDraw.Draw(picture)
    title = "most often taken for another class:" if pairs else "nothing was taken for another class"
    draw.text((MARGIN, MARGIN), title, INK, pictures.font(13))
    for number, pair in enumerate(pairs, start=1):
        top = MARGIN + LINE * number
        left = MARGIN + pictures.BAR + 8
        bar = (MARGIN, top + 3, MARGIN + round(pictures.BAR * pair.share), top + LINE - 5)
        draw.rectangle((MARGIN, top + 3, MARGIN + pictures.BAR, top + LINE - 5), FAINT)
        draw.rectangle(bar, WRONG)
        names = f"{class_names[pair.label]} taken for {class_names[pair.predicted]}"
        draw.text((left, top), f"{pair.examples:,} ({pair.share:.1%})  {names}", INK, pictures.font(12))
    return picture


def _above(upper: Image.Image, lower: Image.Image) -> Image.Image:
    picture = Image.new("RGB", (max(upper.width, lower.width), upper.height + lower.height), PAPER)
    picture.paste(upper, (0, 0))
    picture.paste(lower, (0, upper.height))
    return picture


def calibration(found: Calibration) -> Image.Image:
    """The reliability diagram: for each interval of confidence, the share of its predictions that is right.

    The line is the mean confidence of the interval, which a calibrated model's bar reaches. Below stands each
    interval's share of the predictions.
    """
    low = SIDE // 5  # pixels of the lower part
    picture = Image.new("RGB", (SIDE + 2 * MARGIN, SIDE + low + 4 * MARGIN + LINE), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN), f"calibration error {found.error:.2%}", INK, pictures.font(13))
    top = 2 * MARGIN + LINE
    floor, bottom = top + SIDE, top + SIDE + MARGIN + low
    for part in ((MARGIN, top, MARGIN + SIDE, floor), (MARGIN, floor + MARGIN, MARGIN + SIDE, bottom)):
        draw.rectangle(part, outline=FAINT)
    width, total = SIDE // NUM_BINS, int(found.examples.sum())
    for number in np.flatnonzero(found.examples).tolist():
        examples = int(found.examples[number])
        left, right = MARGIN + number * width, MARGIN + (number + 1) * width - 2
        draw.rectangle((left, floor - round(SIDE * int(found.right[number]) / examples), right, floor), RIGHT)
        level = floor - round(SIDE * float(found.confidence[number]) / examples)
        draw.line((left, level, right, level), WRONG, 3)
        draw.rectangle((left, bottom - round(low * examples / total), right, bottom), INK)
    return picture
