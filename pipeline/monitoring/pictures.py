"""Pictures of a model's mistakes and filters, drawn from arrays in milliseconds."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
INK, FAINT, PAPER = (36, 41, 47), (208, 215, 222), (255, 255, 255)
RIGHT, WRONG = (9, 105, 218), (207, 34, 46)
MARGIN = 12  # pixels around a picture and between its parts
LONGEST_NAME = 14  # characters of a class's name that are drawn

MATRIX_SIDE, LARGEST_CELL = 720, 28  # pixels
SMALLEST_NAMED, SMALLEST_COUNTED = 12, 24  # pixels of a cell from which rows have names, and cells have counts
BAR = 56  # pixels of an accuracy of 1

GRID_COLUMNS, TILE = 4, 84  # images in a row, and pixels of one
FILTERS_SHOWN, FILTER_COLUMNS, FILTER_TILE = 64, 8, 40


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of all pictures."""
    return ImageFont.load_default(size)


def shortened(name: str) -> str:
    """A class's name, cut to LONGEST_NAME characters."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def confusion(counts: np.ndarray, class_names: Sequence[str], accuracies: np.ndarray | None = None) -> Image.Image:
    """The confusion matrix as cells, with each class's accuracy as a bar at the end of its row.

    counts: [classes, classes], true classes down and predicted classes across. The strength of a cell's colour is its
    share of its row; off the diagonal it is the root of the share, so that rare mistakes are visible. Where there are
    too many classes, names and numbers are left out.
    accuracies: [classes], where they are not the shares on the diagonal.
    """
    return _Matrix(counts, class_names, accuracies).draw()


class _Matrix:
    """A confusion matrix, its layout, and the image that it is drawn on."""

    def __init__(self, counts: np.ndarray, class_names: Sequence[str], accuracies: np.ndarray | None):
        self._counts = counts
        self._shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        self._accuracies = self._shares.diagonal() if accuracies is None else accuracies
        self._cell = min(max(MATRIX_SIDE // len(counts), 1), LARGEST_CELL)
        self._names = [shortened(name) for name in class_names] if self._cell >= SMALLEST_NAMED else []
        self._origin = 2 * MARGIN + 16 + round(max((font(12).getlength(name) for name in self._names), default=0))
        self._end = self._origin + self._cell * len(counts)
        self._image = Image.new("RGB", (self._end + 2 * MARGIN + BAR + 40, self._end + MARGIN), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def draw(self) -> Image.Image:
        """The image, complete."""
        cells = Image.fromarray(self._colours())
        side = self._end - self._origin
        self._image.paste(cells.resize((side, side), Image.Resampling.NEAREST), (self._origin, self._origin))
        self._draw.rectangle((self._origin - 1, self._origin - 1, self._end, self._end), outline=FAINT)
        self._label()
        if self._cell >= SMALLEST_COUNTED:
            self._write_counts()
        self._draw_bars()
        return self._image

    def _colours(self) -> np.ndarray:
        """The colour of each cell: [classes, classes, 3] uint8."""
        diagonal = np.eye(len(self._counts), dtype=bool)
        strength = np.where(diagonal, self._shares, np.sqrt(self._shares))[..., None]
        full = np.where(diagonal[..., None], RIGHT, WRONG)
        return np.round(PAPER + strength * (full - np.array(PAPER))).astype(np.uint8)

    def _middle(self, number: int) -> int:
        return self._origin + self._cell * number + self._cell // 2

    def _label(self) -> None:
        middle = (self._origin + self._end) // 2
        self._draw.text((middle, MARGIN), "taken for", INK, font(13), anchor="mm")
        self._write_upwards("true class", (MARGIN, middle), "mm", 13)
        self._draw.text((self._end + MARGIN, MARGIN), "accuracy", INK, font(13), anchor="lm")
        for number, name in enumerate(self._names):
            self._draw.text((self._origin - 6, self._middle(number)), name, INK, font(12), anchor="rm")
            self._write_upwards(name, (self._middle(number), self._origin - 6), "lm", 12)

    def _write_upwards(self, text: str, at: tuple[int, int], anchor: str, size: int) -> None:
        """Writes text that reads from bottom to top. anchor: that of the unturned text, "lm" or "mm"."""
        width, height = round(font(size).getlength(text)) + 2, size + 6
        upright = Image.new("RGB", (width, height), PAPER)
        ImageDraw.Draw(upright).text((width // 2, height // 2), text, INK, font(size), anchor="mm")
        below = 0 if anchor[0] == "l" else width // 2
        self._image.paste(upright.rotate(90, expand=True), (at[0] - height // 2, at[1] + below - width))

    def _write_counts(self) -> None:
        for row, column in zip(*np.nonzero(self._counts), strict=True):
            strong = self._shares[row, column] > (0.5 if row == column else 0.25)
            at, text = (self._middle(column), self._middle(row)), str(self._counts[row, column])
            size = 12 if len(text) * 7 < self._cell else 9
            self._draw.text(at, text, PAPER if strong else INK, font(size), anchor="mm")

    def _draw_bars(self) -> None:
        left, thickness = self._end + MARGIN, max(self._cell * 3 // 5, 1)
        for number, share in enumerate(self._accuracies):
            above = self._middle(number) - thickness // 2
            for width, colour in ((BAR, FAINT), (round(BAR * share), RIGHT)):
                self._draw.rectangle((left, above, left + width, above + thickness - 1), colour)
            if self._names:
                at = (left + BAR + 6, self._middle(number))
                text = f"{share:.1%}" if self._counts[number].any() else "none"
                self._draw.text(at, text, INK, font(12), anchor="lm")


class Caption(NamedTuple):
    """A line below an image."""

    text: str
    colour: Colour = INK


def captioned(images: Sequence[np.ndarray], captions: Sequence[Sequence[Caption]], title: str) -> Image.Image:
    """Images in rows, each above its captions. images: [height, width, 1 or 3] uint8, of any size."""
    lines = max((len(lines) for lines in captions), default=0)
    widest = max((font(12).getlength(caption.text) for lines in captions for caption in lines), default=0)
    width, height = max(TILE, round(widest)) + MARGIN, TILE + MARGIN + 16 * lines
    rows = -(-len(images) // GRID_COLUMNS)
    picture = Image.new("RGB", (GRID_COLUMNS * width + MARGIN, rows * height + 2 * MARGIN + 16), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN), title, INK, font(13))
    for number, (image, below) in enumerate(zip(images, captions, strict=True)):
        left = MARGIN + number % GRID_COLUMNS * width
        top = 2 * MARGIN + 16 + number // GRID_COLUMNS * height
        tile = _tile(image, TILE)
        middle = left + (width - MARGIN) // 2
        picture.paste(tile, (middle - tile.width // 2, top + (TILE - tile.height) // 2))
        for line, caption in enumerate(below):
            draw.text((middle, top + TILE + 2 + 16 * line), caption.text, caption.colour, font(12), anchor="ma")
    return picture


def filters(kernel: np.ndarray) -> Image.Image:
    """The first filters of a convolution over pixels. Middle grey is 0, and all filters share one scale.

    kernel: [height, width, 1 or 3, filters]
    """
    shown = np.moveaxis(kernel, -1, 0)[:FILTERS_SHOWN]
    largest = np.abs(shown).max() or 1
    pixels = np.round(127.5 + 127.5 * np.nan_to_num(shown / largest)).astype(np.uint8)
    step = FILTER_TILE + 4
    rows = -(-len(pixels) // FILTER_COLUMNS)
    picture = Image.new("RGB", (min(len(pixels), FILTER_COLUMNS) * step + 4, rows * step + 4), PAPER)
    for number, filter_ in enumerate(pixels):
        tile = _tile(filter_, FILTER_TILE)
        picture.paste(tile, (4 + number % FILTER_COLUMNS * step, 4 + number // FILTER_COLUMNS * step))
    return picture


def _tile(pixels: np.ndarray, side: int) -> Image.Image:
    """The image, resized so that its longer side is `side`. Enlarged pixels keep their edges.

    pixels: [height, width, 1 or 3] uint8
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    scale = side / max(image.size)
    way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    return image.resize((max(round(image.width * scale), 1), max(round(image.height * scale), 1)), way)
