"""A goal by a frame: how alike the outcome and it are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.frames import fit_frame, read_frame
from chronosim.types import Frame, Observation, Prediction

__all__ = ["LikeFrame"]

_Distance = Callable[[Frame, Frame], float]


@dataclass(frozen=True, slots=True)
class LikeFrame:
    """Holds where the outcome is near enough to a frame.

    It says how much of the way from `far` to `near` is done::

        goal:
          _target_: chronosim.scenarios.goals.likeness.LikeFrame
          frame: goal.png
          near: 0.3
          far: 0.7
          by:
            _target_: chronosim.metrics.perceptual.load_alexnet
            path: alexnet-owt-7be5be79.pth

    Attributes:
        frame: An image file, fitted to the size of the episode's frames; None: the user brings it.
        near: The distance at which it holds, >= 0.
        far: The distance that counts as not at all, above `near`.
        by: What measures it: None: the root of the mean squared difference, in grey levels, 0 to
            255; a `chronosim.metrics.perceptual.Perceptual`: LPIPS; a
            `chronosim.metrics.clip.Clip`: 1 minus the likeness of what the frames show.

    Raises:
        InvalidFrame: There is no `frame`, or no image there.
        InvalidConfig: `near` and `far` cannot be, or `by` measures nothing.
    """

    frame: str | Path | None
    near: float
    far: float
    by: Any = None
    _goal: Frame = field(init=False, repr=False, compare=False)
    _distance: _Distance = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.near < self.far:
            raise InvalidConfig(
                f"near must be 0 or more and below far: near {self.near}, far {self.far}"
            )
        if self.frame is None:
            raise InvalidFrame("the goal is a frame of yours: give scenario.goal.frame=goal.jpg")
        object.__setattr__(self, "_distance", _distance(self.by))
        object.__setattr__(self, "_goal", read_frame(Path(self.frame).expanduser()))

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Gives how much of the way from `far` to `near` is done, 0 to 1."""
        height, width = after.frame.shape[:2]
        distance = self._distance(fit_frame(self._goal, (height, width)), after.frame)
        if not np.isfinite(distance):
            raise InvalidFrame(f"the distance to the goal frame {self.frame} is {distance}")
        return min(max((self.far - distance) / (self.far - self.near), 0.0), 1.0)

    def __str__(self) -> str:
        measure = "the root mean square of grey levels" if self.by is None else self.by.name
        return f"the frame is within {self.near:g} of {self.frame}, by {measure}"


def _distance(by: Any) -> _Distance:
    if by is None:
        return _grey_levels
    if hasattr(by, "compare_frames"):  # CLIP; torch is not imported here only to ask for its class
        return lambda goal, seen: 1.0 - float(by.compare_frames(goal, seen))
    if callable(by) and hasattr(by, "name"):
        return lambda goal, seen: float(by(goal[None], seen[None])[0])
    raise InvalidConfig(f"a frame is compared by nothing (grey levels), LPIPS or CLIP, not {by!r}")


def _grey_levels(goal: Frame, seen: Frame) -> float:
    difference = goal.astype(np.float32) - seen
    return float(np.sqrt(np.mean(difference**2)))
