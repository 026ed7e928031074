"""Words drawn under frames, in the one typeface that Pillow carries."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

__all__ = ["FAINT", "INK", "PAPER", "Colour", "font_of", "line_height", "text_block", "wrap"]

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

PAPER, INK, FAINT = (250, 250, 248), (38, 40, 46), (125, 128, 136)
"""What sheets are drawn on, and their words in."""


@cache
def font_of(size: int) -> Any:
    """The typeface at a size in pixels; kept, since loading it takes longer than drawing."""
    return ImageFont.load_default(size)


def wrap(text: str, *, size: int, width: int, lines: int) -> list[str]:
    """Breaks words into lines that fit; what does not fit the last line ends in dots.

    Args:
        text: The words.
        size: Size of the type, pixels.
        width: Width of a line, pixels.
        lines: How many lines there may be, >= 1.
    """
    font = font_of(size)
    wrapped: list[str] = []
    for word in text.split():
        joined = f"{wrapped[-1]} {word}" if wrapped else word
        if wrapped and font.getlength(joined) <= width:
            wrapped[-1] = joined
        else:
            wrapped.append(word)
    wrapped = [_shorten(line, font, width) for line in wrapped]
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], _shorten(wrapped[lines - 1] + " …", font, width)]
    return wrapped


def line_height(size: int) -> int:
    """Distance between two lines of type, pixels."""
    return round(size * 1.3)


def text_block(
    lines: list[str], *, size: int, width: int, height: int, ink: Colour, paper: Colour
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Draws lines of type from the top left of an empty block.

    Args:
        lines: The lines, as they are.
        size: Size of the type, pixels.
        width: Width of the block, pixels.
        height: Height of the block, pixels.
        ink: Colour of the type.
        paper: Colour behind it.

    Returns:
        RGB uint8 (height, width, 3).
    """
    block = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(block)
    font = font_of(size)
    for row, line in enumerate(lines):
        draw.text((0, row * line_height(size)), line, fill=ink, font=font)
    return np.asarray(block)


def _shorten(line: str, font: Any, width: int) -> str:
    """Cuts a line that is too long, ending it in dots."""
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip(" …") + "…"
