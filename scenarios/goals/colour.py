"""A goal in colours: how much of a region shows one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from chronosim.errors import InvalidConfig
from chronosim.scenarios.goals.criterion import check_share
from chronosim.types import Frame, Observation, Prediction

__all__ = ["ColourShare"]


@dataclass(frozen=True, slots=True)
class ColourShare:
    """Holds where enough of a region of the outcome shows a colour.

    It says how large a part of `share` there is: half of it is worth 0.5.

    Attributes:
        colour: Red, green and blue, 0 to 255.
        share: Of the region's pixels, above 0 and up to 1.
        region: Top, left, bottom and right, as shares of height and width, 0 to 1; the whole frame.
        tolerance: By how many grey levels each channel may differ, 0 to 255.
        name: What to call the colour; "": by its numbers.

    Raises:
        InvalidConfig: A colour, share, region or tolerance that cannot be.
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
        """Gives how much of `share` there is in the outcome, 0 to 1."""
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
