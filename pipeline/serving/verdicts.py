"""An image with the model's likeliest classes written below it, for people to look through."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LEAST_SIDE, MOST_SIDE = 256, 1024  # pixels of the image's longer side
MARGIN, TEXT_SIZE = 6, 16  # pixels
BACKGROUND, BAR, FIRST_BAR, TEXT = "#202124", "#3c4043", "#1a73e8", "#ffffff"


def draw(pixels: np.ndarray, likeliest: Sequence[tuple[str, float]]) -> Image.Image:
    """The image, with a line and a bar for each class below it.

    pixels: [height, width, 1 or 3] uint8. likeliest: classes and their probabilities.
    """
    font = ImageFont.load_default(TEXT_SIZE)
    picture = _scaled(Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB"))
    lines = [(f"{name}   {probability:.2%}", probability) for name, probability in likeliest]
    width = max(picture.width, *(int(font.getlength(text)) + 2 * MARGIN for text, _ in lines))
    line_height = TEXT_SIZE + 2 * MARGIN
    drawn = Image.new("RGB", (width, picture.height + line_height * len(lines)), BACKGROUND)
    drawn.paste(picture, ((width - picture.width) // 2, 0))
    pen = ImageDraw.Draw(drawn)
    for i, (text, probability) in enumerate(lines):
        top = picture.height + i * line_height
        pen.rectangle((0, top + 1, width * probability, top + line_height - 2), fill=BAR if i else FIRST_BAR)
        pen.text((MARGIN, top + MARGIN - 2), text, fill=TEXT, font=font)
    return drawn


def _scaled(picture: Image.Image) -> Image.Image:
    """The picture, enlarged with visible pixels if it is small, reduced if it is large."""
    longer = max(picture.size)
    if longer > MOST_SIDE:
        size = [max(1, round(side * MOST_SIDE / longer)) for side in picture.size]
        return picture.resize(size, Image.Resampling.LANCZOS)
    factor = -(-LEAST_SIDE // longer)
    return picture.resize([side * factor for side in picture.size], Image.Resampling.NEAREST)
