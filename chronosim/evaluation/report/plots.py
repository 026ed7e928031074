"""An evaluation's plots and pictures, as bytes of PNG files that suit light paper and dark."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from chronosim.errors import MissingDependency
from chronosim.evaluation.intervals import Curve
from chronosim.evaluation.truth import Moment
from chronosim.pictures.panels import font_of
from chronosim.types import Frame

_DPI = 120


def check_plots() -> None:
    """Makes sure that plots can be drawn, before hours are spent on what they are to show.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    new_figure(1, 1)


def new_figure(width: float, height: float) -> Any:
    """Makes an empty figure of so many inches.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # here: only who draws needs it
    except ImportError as error:
        raise MissingDependency("plots need matplotlib: pip install 'chronosim[plots]'") from error
    return Figure(figsize=(width, height), layout="constrained")


def to_png(figure: Any, *, transparent: bool = False) -> bytes:
    """Gives a figure as a PNG file; `transparent` leaves out the ground."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, transparent=transparent)
    return file.getvalue()


_GREY = (136, 136, 136, 255)  # legible on white and on black
_CELL, _GAP, _TYPE = 144, 4, 15  # pixels


def filmstrip(rows: Mapping[str, Sequence[Frame]], columns: Sequence[str]) -> bytes:
    """Lays frames out in named rows and columns.

    Args:
        rows: Frames from left to right, by what they are; all of one size.
        columns: What stands above each.

    Returns:
        A PNG with a transparent ground.
    """
    font = font_of(_TYPE)
    height, width = next(iter(rows.values()))[0].shape[:2]
    cell = (_CELL * width // height if height else _CELL, _CELL)
    left = max(int(font.getlength(name)) for name in rows) + 2 * _GAP
    top = _TYPE + 2 * _GAP
    size = (left + len(columns) * (cell[0] + _GAP), top + len(rows) * (cell[1] + _GAP))
    sheet = Image.new("RGBA", size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(columns):
        middle = left + column * (cell[0] + _GAP) + cell[0] // 2
        pen.text((middle, _GAP), name, fill=_GREY, font=font, anchor="mt")
    for row, (name, frames) in enumerate(rows.items()):
        y = top + row * (cell[1] + _GAP)
        pen.text((left - 2 * _GAP, y + cell[1] // 2), name, fill=_GREY, font=font, anchor="rm")
        for column, frame in enumerate(frames):
            x = left + column * (cell[0] + _GAP)
            sheet.paste(Image.fromarray(frame).resize(cell, Image.Resampling.BICUBIC), (x, y))
    return _png(sheet)


def moments_picture(moments: Sequence[Moment], outcomes: Sequence[Frame]) -> bytes:
    """Lays moments out side by side: observed, real, predicted, and how far the two differ.

    Args:
        moments: At least one.
        outcomes: The predicted outcome of each.
    """
    true = [moment.trajectory[-1] for moment in moments]
    rows = {
        "seen": [moment.observation.frame for moment in moments],
        "real": true,
        "predicted": list(outcomes),
        "difference": [difference(a, b) for a, b in zip(true, outcomes, strict=True)],
    }
    return filmstrip(rows, [f"moment {number}" for number in range(1, len(moments) + 1)])


def difference(a: Frame, b: Frame) -> Frame:
    """By how much two frames differ, channel by channel."""
    return np.abs(a.astype(np.int16) - b.astype(np.int16)).astype(np.uint8)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


_INK = (0.53, 0.53, 0.53)  # legible on white and on black
_LINES = ("#2f7de1", "#8a8a8a", "#b7791f")


def draw_curves(panels: Mapping[str, Mapping[str, Curve]]) -> bytes:
    """Draws panels side by side, in each some curves with their bands.

    Args:
        panels: Curves by name, by what each panel shows; in each the first one is the model's.

    Returns:
        A PNG with a transparent ground.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = new_figure(4.2 * len(panels), 3.4)  # first: it says so where matplotlib is missing
    from matplotlib.ticker import MaxNLocator

    for axes, (title, curves) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for (name, curve), colour in zip(curves.items(), _LINES, strict=False):
            steps, first = range(1, len(curve.values) + 1), name == next(iter(curves))
            axes.plot(steps, curve.values, "-" if first else "--", color=colour, label=name)
            axes.fill_between(steps, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
        axes.set(xlabel="step", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _suit_both_grounds(axes)
    return to_png(figure, transparent=True)


def _suit_both_grounds(axes: Any) -> None:
    axes.tick_params(colors=_INK)
    for text in (axes.xaxis.label, axes.title):
        text.set_color(_INK)
    for side, spine in axes.spines.items():
        spine.set_color(_INK)
        spine.set_visible(side in ("left", "bottom"))
    axes.grid(alpha=0.2)
    axes.legend(frameon=False, labelcolor=_INK, fontsize="small")
