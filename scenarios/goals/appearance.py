"""Goals by how the outcome looks: a colour in a region, or likeness to a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.files import user_path
from chronosim.frames import fit_frame, read_frame
from chronosim.scenarios.goals.criterion import check_share
from chronosim.types import Frame, Observation, Prediction


@dataclass(frozen=True, slots=True)
class ColourShare:
    """Holds where enough of a region of the outcome shows a colour; half of `share` is worth 0.5.

    Attributes:
        colour: Red, green and blue, 0 to 255.
        share: Share of the region's pixels, above 0 to 1.
        region: Top, left, bottom and right, as shares of height and width, 0 to 1.
        tolerance: Largest difference of each channel, grey levels, 0 to 255.
        name: The colour's name; "" names it by its numbers.

    Raises:
        InvalidConfig: A colour, share, region or tolerance is out of range.
    """

    colour: Sequence[int]
    share: float = 1.0
    region: Sequence[float] = (0.0, 0.0, 1.0, 1.0)
    tolerance: int = 40
    name: str = ""

    def __post_init__(self) -> None:
        check_share("share", self.share)
        if len(self.colour) != 3 or not all(0 <= value <= 255 for value in self.colour):
            raise InvalidConfig(f"colour must be three numbers, 0 to 255, not {self.colour}")
        if not 0 <= self.tolerance <= 255:
            raise InvalidConfig(f"tolerance must lie from 0 to 255, not {self.tolerance}")
        top, left, bottom, right = self.region if len(self.region) == 4 else (1, 1, 0, 0)
        if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
            raise InvalidConfig(
                "region must be top, left, bottom and right, as shares of the frame from 0 to 1, "
                f"not {list(self.region)}"
            )

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Gives the part of `share` that the outcome shows, 0 to 1."""
        region = self._cut(after.frame).astype(np.int16)
        near = (np.abs(region - np.array(self.colour, np.int16)) <= self.tolerance).all(-1)
        return min(float(near.mean()) / self.share, 1.0)

    def _cut(self, frame: Frame) -> UInt8[np.ndarray, "rows columns 3"]:
        height, width = frame.shape[:2]
        top, left, bottom, right = self.region
        # At least a pixel, however small the region is in a frame of this size.
        rows = slice(int(top * height), max(int(top * height) + 1, round(bottom * height)))
        columns = slice(int(left * width), max(int(left * width) + 1, round(right * width)))
        return frame[rows, columns]

    def __str__(self) -> str:
        colour = self.name or f"the colour ({', '.join(map(str, self.colour))})"
        top, left, bottom, right = (round(100 * side) for side in self.region)
        whole = (top, left, bottom, right) == (0, 0, 100, 100)
        place = (
            "the frame"
            if whole
            else f"the part {top}% to {bottom}% down and {left}% to {right}% across"
        )
        return f"{colour} fills {round(100 * self.share)}% of {place}"


_Distance = Callable[[Frame, Frame], float]


@dataclass(frozen=True, slots=True)
class LikeFrame:
    """Holds where the outcome is near enough to a frame; in part on the way from `far` to `near`.

    ::

        goal:
          _target_: chronosim.scenarios.goals.LikeFrame
          frame: goal.png
          near: 0.3
          far: 0.7
          by:
            _target_: chronosim.metrics.perceptual.load_alexnet
            path: alexnet-owt-7be5be79.pth

    Attributes:
        frame: An image file, fitted to the size of the episode's frames; None: the user brings it.
        near: The distance at which the criterion holds, >= 0.
        far: The distance from which it does not hold at all, above `near`.
        by: The measure of distance. None: root mean squared difference, grey levels, 0 to 255; a
            `chronosim.metrics.Perceptual`: LPIPS; a `chronosim.metrics.Clip`: 1 minus the
            similarity of what the frames show.

    Raises:
        InvalidFrame: No `frame` is given, or there is no image at its path.
        InvalidConfig: `near` and `far` are out of range or reversed, or `by` is no measure.
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
        object.__setattr__(self, "_goal", read_frame(user_path(self.frame)))

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Gives the part of the way from `far` to `near` that is done, 0 to 1."""
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
