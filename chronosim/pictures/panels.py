"""An episode on one sheet: each step's frame, with the words of the action under it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from chronosim.errors import InvalidEpisode
from chronosim.types import Frame, Observation, Step

_MARGIN, _GAP, _TYPE = 24, 18, 14  # pixels
_TALL = 3  # times its width: the height of a frame on a sheet at most
_MOST_LINES = 6  # free text can be a paragraph; a sheet shows its beginning


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One picture of a filmstrip.

    Attributes:
        frame: RGB uint8 (height, width, 3).
        title: A few faint words right under it.
        words: What led to it.
    """

    frame: Frame
    title: str = ""
    words: str = ""


def step_panels(first: Observation, steps: Iterable[Step]) -> list[Panel]:
    """Gives an episode's panels: where it began, then the outcome of step 0 with what was done ...

    Args:
        first: The observation the episode began with (`reader.observation(0)`).
        steps: Its steps (an `EpisodeReader` is one such iterable).
    """
    panels = [Panel(first.frame, "start")]
    for step in steps:
        end = " · terminated" if step.terminated else " · truncated" if step.truncated else ""
        title = f"step {step.after.step - 1} · reward {step.reward:.2f}{end}"
        panels.append(Panel(step.after.frame, title, step.text))
    return panels


def filmstrip(
    panels: Sequence[Panel], *, columns: int | None = None, width: int = 216
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Lays panels out on a sheet, row by row.

    Args:
        panels: At least one; their frames may differ in size.
        columns: Panels in a row; None: 6 to 8, whichever leaves the fewest places empty.
        width: Width of a panel, pixels; frames are scaled to it, very tall ones to three times it.

    Returns:
        The sheet, RGB uint8.

    Raises:
        InvalidEpisode: No panel, or no column.
    """
    if not panels or (columns is not None and columns < 1):
        raise InvalidEpisode(
            f"a filmstrip needs at least one panel and one column, not {len(panels)} and {columns}"
        )
    across = columns or _columns(len(panels))
    lines = max(len(_wrap(panel, width)) for panel in panels)
    drawn = [_draw(panel, width, lines) for panel in panels]
    height = max(block.shape[0] for block in drawn)
    down = -(-len(panels) // across)
    across = min(across, len(panels))
    sheet = np.empty(
        (_extent(down, height), _extent(across, width), 3),
        np.uint8,
    )
    sheet[:] = PAPER
    for index, block in enumerate(drawn):
        row, column = divmod(index, across)
        top, left = _MARGIN + row * (height + _GAP), _MARGIN + column * (width + _GAP)
        sheet[top : top + len(block), left : left + width] = block
    return sheet


def _columns(count: int) -> int:
    return min((7, 8, 6), key=lambda columns: -count % columns)


def _extent(count: int, size: int) -> int:
    return 2 * _MARGIN + count * size + (count - 1) * _GAP


def _wrap(panel: Panel, width: int) -> list[str]:
    return wrap(panel.words, size=_TYPE, width=width, lines=_MOST_LINES)


def _draw(panel: Panel, width: int, lines: int) -> UInt8[np.ndarray, "rows columns 3"]:
    """One panel: the frame, its title, its words; as high as `lines` lines of words need."""
    title = text_block(
        wrap(panel.title, size=_TYPE - 2, width=width, lines=1),
        size=_TYPE - 2,
        width=width,
        height=line_height(_TYPE) + 2,
        ink=FAINT,
        paper=PAPER,
    )
    words = text_block(
        _wrap(panel, width),
        size=_TYPE,
        width=width,
        height=lines * line_height(_TYPE) + 4,
        ink=INK,
        paper=PAPER,
    )
    space = np.full((6, width, 3), PAPER, np.uint8)
    return np.concatenate([_scaled(panel.frame, width), space, title, words])


def _scaled(frame: Frame, width: int) -> UInt8[np.ndarray, "rows columns 3"]:
    """The frame as wide as its panel; one that would be too high, as high as may be."""
    rows, columns = frame.shape[:2]
    height, across = max(1, round(width * rows / columns)), width
    if height > _TALL * width:
        height, across = _TALL * width, max(1, round(_TALL * width * columns / rows))
    small = Image.fromarray(frame).resize((across, height), Image.Resampling.LANCZOS)
    if across == width:
        return np.asarray(small)
    picture = Image.new("RGB", (width, height), PAPER)
    picture.paste(small, ((width - across) // 2, 0))
    return np.asarray(picture)


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
