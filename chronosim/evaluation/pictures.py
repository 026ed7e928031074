"""An evaluation's pictures: moments side by side, and how rollouts drift."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from chronosim.errors import MissingDependency
from chronosim.evaluation.moments import Moment
from chronosim.evaluation.rollouts import Drift
from chronosim.types import Frame

__all__ = ["draw_drift", "moments_sheet"]

_GAP = ((1, 1), (1, 1), (0, 0))  # pixels around each frame


def moments_sheet(
    moments: Sequence[Moment], outcomes: Sequence[Frame]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Lays out one row a moment: observed, true, predicted, and how far the last two differ.

    Args:
        moments: At least one.
        outcomes: The predicted outcome of each.
    """
    rows = []
    for moment, frame in zip(moments, outcomes, strict=True):
        true = moment.trajectory[-1]
        difference = np.abs(frame.astype(np.int16) - true.astype(np.int16)).astype(np.uint8)
        cells = (moment.observation.frame, true, frame, difference)
        rows.append(np.concatenate([np.pad(cell, _GAP) for cell in cells], axis=1))
    return np.concatenate(rows).repeat(2, axis=0).repeat(2, axis=1)


def draw_drift(drift: Drift, path: Path) -> None:
    """Draws PSNR against the step: model, first frame, mean frame.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # here: only who draws needs it
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise MissingDependency("curves need matplotlib: pip install 'chronosim[train]'") from error
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    steps = range(1, len(drift.model) + 1)
    axes.plot(steps, drift.model, "o-", label="model")
    axes.plot(steps, drift.first_frame, "s--", label="copy-last-frame (the first)")
    axes.plot(steps, drift.mean_frame, ":", label="mean frame of other episodes")
    axes.set(xlabel="step", ylabel="PSNR, dB", title=f"Free-running, {drift.episodes} episodes")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    figure.savefig(path, dpi=120)
