"""The sharpest of several frames."""

from __future__ import annotations

from chronosim.metrics.sharpness import sharpness
from chronosim.types import Frame, Trajectory

__all__ = ["sharpest"]


def sharpest(frames: Trajectory) -> Frame:
    """Gives a copy of the sharpest frame; of equals the last, which is nearest to the outcome."""
    values = [sharpness(frame) for frame in frames]
    best = max(range(len(values)), key=lambda index: (values[index], index))
    return frames[best].copy()
