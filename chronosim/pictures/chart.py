"""Numbers as a picture in the style of the filmstrips, and pictures set on a sheet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from chronosim.pictures.panels import FAINT, INK, PAPER, font_of, line_height, text_block, wrap

_BAR, _MIDDLE = (104, 134, 178), (196, 92, 72)
_TYPE, _MARGIN = 14, 24  # pixels
_FEWEST = 9  # bars that there is room for

Picture = UInt8[np.ndarray, "_rows _columns 3"]
"""A sheet or a part of one, RGB; those that come together may be of different sizes."""


def histogram(
    values: Sequence[float] | np.ndarray,
    title: str,
    *,
    width: int = 640,
    height: int = 240,
    bars: int = 32,
) -> Picture:
    """Draws how often numbers occur, with their mean as a line.

    Args:
        values: Numbers, what is not finite left out; whole ones get a bar each, where there is
            room.
        title: What they are.
        width: Of the picture, pixels.
        height: Of the picture, pixels.
        bars: At most.

    Returns:
        RGB uint8 (height, width, 3).
    """
    image = Image.new("RGB", (width, height), PAPER)
    draw, font = ImageDraw.Draw(image), font_of(_TYPE)
    left, right, top, bottom = _MARGIN, width - _MARGIN, 52, height - 32
    draw.text((left, 16), title, fill=INK, font=font)
    draw.line((left, bottom, right, bottom), fill=FAINT)
    numbers = np.asarray(values, float)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return np.asarray(image)
    most = min(bars, max(_FEWEST, int(3 * np.sqrt(numbers.size))))
    counts, edges = np.histogram(numbers, _edges(numbers, most))

    def across(value: float) -> float:
        return float(left + (value - edges[0]) / (edges[-1] - edges[0]) * (right - left))

    small = font_of(_TYPE - 2)
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            tip = bottom - max(2.0, count / counts.max() * (bottom - top))
            box = (across(low), tip, max(across(high) - 2, across(low) + 1), bottom)
            draw.rectangle(box, fill=_BAR)
    highest = int(counts.argmax())
    over = ((across(edges[highest]) + across(edges[highest + 1])) / 2, top - 3)
    draw.text(over, f"{counts.max():,}", fill=FAINT, font=small, anchor="mb")
    for value in sorted({float(numbers.min()), float(numbers.max())}):
        draw.text((across(value), bottom + 6), f"{value:.4g}", fill=FAINT, font=small, anchor="ma")
    mean = float(numbers.mean())
    draw.line((across(mean), top, across(mean), bottom), fill=_MIDDLE, width=2)
    draw.text((right, 16), f"mean {mean:.4g}", fill=_MIDDLE, font=font, anchor="ra")
    return np.asarray(image)


def heading(words: Sequence[str], width: int) -> Picture:
    """Draws lines of words to stand over other pictures: the first in ink, the others fainter."""
    room = width - 2 * _MARGIN
    parts = []
    for index, line in enumerate(words):
        lines = wrap(line, size=_TYPE, width=room, lines=3)
        block = text_block(
            lines,
            size=_TYPE,
            width=room,
            height=len(lines) * line_height(_TYPE) + 4,
            ink=FAINT if index else INK,
            paper=PAPER,
        )
        parts.append(block)
    body = np.concatenate(parts)
    sheet = np.empty((len(body) + _MARGIN, width, 3), np.uint8)
    sheet[:] = PAPER
    sheet[_MARGIN:, _MARGIN : _MARGIN + room] = body
    return sheet


def beside(pictures: Sequence[Picture]) -> Picture:
    """Sets pictures side by side on paper, their tops in line."""
    height = max(len(picture) for picture in pictures)
    return np.concatenate([_padded(p, height, p.shape[1]) for p in pictures], axis=1)


def stack(pictures: Sequence[Picture]) -> Picture:
    """Sets pictures one below the other on paper, their left sides in line."""
    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate([_padded(p, len(p), width) for p in pictures])


def _padded(picture: Picture, height: int, width: int) -> Picture:
    sheet = np.empty((height, width, 3), np.uint8)
    sheet[:] = PAPER
    sheet[: picture.shape[0], : picture.shape[1]] = picture
    return sheet


def _edges(numbers: np.ndarray, bars: int) -> np.ndarray:
    """Where bars begin and end: around whole numbers, or in equal parts; never one bar alone."""
    low, high = float(numbers.min()), float(numbers.max())
    if (numbers == numbers.round()).all():
        step = max(1, int(np.ceil((high - low + 1) / bars)))
        room = max(0, _FEWEST - int((high - low) // step) - 1) // 2 * step
        return np.arange(low - room - 0.5, high + room + step, step)
    if np.isclose(low, high):
        return np.linspace(low - 0.5, low + 0.5, _FEWEST + 1)
    return np.linspace(low, high, bars + 1)
