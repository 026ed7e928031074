"""Empty figures of matplotlib, and figures as PNG files."""

from __future__ import annotations

import io
from typing import Any

from chronosim.errors import MissingDependency

__all__ = ["check_plots", "new_figure", "to_png"]

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
