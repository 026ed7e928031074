"""Text for a terminal: tables, a line of bars, and frames as coloured blocks."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image
from tqdm import tqdm

from chronosim.types import Frame

_NUMBER = re.compile(r"[-+]?\d|-$")  # how a cell begins that is set flush right
_EIGHTHS = "▁▂▃▄▅▆▇█"
_GAP = "  "


def has_colours() -> bool:
    """Whether the output is a terminal that shows colours, and wants them (NO_COLOR)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def has_all_colours() -> bool:
    """Whether the terminal says that it shows 24-bit colours."""
    return has_colours() and os.environ.get("COLORTERM") in ("truecolor", "24bit")


def faint(text: str) -> str:
    """Greys a text out, where there are colours."""
    return f"\x1b[2m{text}\x1b[0m" if has_colours() else text


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, most: int | None = None) -> str:
    """Sets rows in columns: numbers flush right, words flush left, the last column cut to fit.

    Args:
        head: Names of the columns.
        rows: Their cells: words as they are, whole numbers with separators, other numbers with two
            decimals, None and NaN as a dash.
        most: Rows at most, the middle ones left out; None: all.

    Returns:
        The lines, the head first.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if most is not None and len(cells) > most:
        half, gap = most // 2, f"… {len(cells) - 2 * (most // 2)} more"
        cells = [*cells[:half], [gap, *[""] * (len(head) - 1)], *cells[-half:]]
    columns = list(zip(head, *cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [any(column[1:]) and all(map(_flush_right, column[1:])) for column in columns]
    screen = shutil.get_terminal_size((160, 24)).columns
    lines = []
    for row in (list(head), *cells):
        line = _GAP.join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        ).rstrip()
        lines.append(line if len(line) <= screen else line[: screen - 1] + "…")
    return "\n".join([faint(lines[0]), *lines[1:]])


def bars(values: Sequence[float] | np.ndarray, width: int = 60) -> str:
    """Draws numbers as a line of bars, from zero, or the smallest below it, to the largest.

    Args:
        values: Numbers, what is not finite left out; means of neighbours stand for more than
            `width` of them.
        width: Bars at most.
    """
    numbers = np.asarray(values, float)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return ""
    parts = np.array_split(numbers, min(width, numbers.size))
    means = np.array([part.mean() for part in parts])
    low = min(0.0, float(means.min()))
    span = max(float(means.max()) - low, 1e-12)
    heights = ((means - low) / span * (len(_EIGHTHS) - 1)).round().astype(int)
    return "".join(_EIGHTHS[height] for height in heights)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Gives what draws a bar for each thing that is told of: what, how many are done, of how many.

    A bar is closed when all are done, and when another thing is told of.
    """
    bar: tqdm[None] | None = None

    def close() -> None:
        nonlocal bar
        if bar is not None:
            bar.close()
        bar = None

    def show(what: str, done: int, total: int) -> None:
        nonlocal bar
        if bar is None or bar.desc != what:
            close()
            bar = tqdm(desc=what, total=total, initial=done)
        bar.update(done - bar.n)
        if done == total:
            close()

    try:
        yield show
    finally:
        close()


def size(count: float) -> str:
    """Bytes in words: 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def blocks(frames: Sequence[Frame], width: int = 22) -> str:
    """Draws frames side by side in coloured half blocks: two pixels to a character.

    Args:
        frames: RGB uint8, all of one size.
        width: Characters across each.

    Returns:
        Lines of text for a terminal of 24-bit colours.
    """
    height = 2 * max(1, round(width * frames[0].shape[0] / frames[0].shape[1] / 2))
    small = [
        np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BOX))
        for frame in frames
    ]
    lines = []
    for row in range(0, height, 2):
        parts = ("".join(map(_half, frame[row], frame[row + 1])) + "\x1b[0m" for frame in small)
        lines.append(_GAP.join(parts))
    return "\n".join(lines)


def _half(upper: np.ndarray, lower: np.ndarray) -> str:
    above, below = (";".join(str(int(value)) for value in pixel) for pixel in (upper, lower))
    return f"\x1b[38;2;{above}m\x1b[48;2;{below}m▀"


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return f"{value:.2f}" if isinstance(value, float | np.floating) else str(value)


def _flush_right(cell: str) -> bool:
    return not cell or _NUMBER.match(cell) is not None
