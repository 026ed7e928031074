"""Goals on CarRacing's road, read off the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chronosim.errors import InvalidConfig
from chronosim.scenarios.road import CAR, DASHBOARD_ROW, road_mask, road_share
from chronosim.types import Frame, Observation, Prediction

_UNDER = 8  # pixels around the car that are "under" it
_NONE, _WHOLE = 0.25, 0.45  # share of road there with no wheel on the road, with all of them
_NEAR, _LEAST = 20, 0.01  # pixels (about ten metres) within which road must have this share
_STILL = 1.0  # grey levels by which the picture changes at least when the car moves
_LOOKAHEAD = 30  # rows (about fifteen metres) ahead of the car


@dataclass(frozen=True, slots=True)
class OnRoad:
    """Holds with all wheels on the road, in part with some of them, on CarRacing's 96 x 96 frames.

    Source of the numbers: `chronosim.scenarios.CarRacingScenario`.
    """

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Reads it off the outcome, 0 to 1."""
        share = (road_share(after.frame, _UNDER) - _NONE) / (_WHOLE - _NONE)
        return min(max(share, 0.0), 1.0)

    def __str__(self) -> str:
        return "all wheels are on the road"


@dataclass(frozen=True, slots=True)
class RoadLost:
    """Holds where less than 1 % of the ground within about ten metres of the car is road."""

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Reads it off the outcome: 0 or 1."""
        return float(road_share(after.frame, _NEAR) < _LEAST)

    def __str__(self) -> str:
        return "no road is left within ten metres of the car"


@dataclass(frozen=True, slots=True)
class Moving:
    """Holds where the picture above the dashboard changed by at least a grey level on average."""

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Compares the outcome with the observed frame: 0 or 1."""
        seen = before.frame[:DASHBOARD_ROW].astype(np.int16)
        return float(np.abs(after.frame[:DASHBOARD_ROW] - seen).mean() >= _STILL)

    def __str__(self) -> str:
        return "the car moves"


@dataclass(frozen=True, slots=True)
class RoadBends:
    """Holds where the road ahead turns to either side by an angle between two bounds.

    The angle is measured from straight ahead to the middle of the road, which is followed row by
    row for about fifteen metres. The criterion does not hold where no road can be followed.

    Attributes:
        least: Degrees, >= 0.
        most: Degrees, up to 90.

    Raises:
        InvalidConfig: The bounds are out of range or reversed.
    """

    least: float = 0.0
    most: float = 90.0

    def __post_init__(self) -> None:
        if not 0 <= self.least < self.most <= 90:
            raise InvalidConfig(
                f"least and most must be degrees from 0 to 90: {self.least} to {self.most}"
            )

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Reads it off the outcome: 0 or 1."""
        angle = road_angle(after.frame)
        return float(angle is not None and self.least <= abs(angle) <= self.most)

    def __str__(self) -> str:
        return f"the road ahead turns away by {self.least:g} to {self.most:g} degrees"


def road_angle(frame: Frame) -> float | None:
    """Gives the angle from straight ahead to the road's middle some fifteen metres ahead.

    Args:
        frame: uint8 (96, 96, 3).

    Returns:
        Degrees, -90 to 90, positive to the right; None where the road cannot be followed.
    """
    road, column = road_mask(frame), float(CAR[1])
    for row in range(CAR[0] - 6, CAR[0] - _LOOKAHEAD - 1, -1):
        columns = np.flatnonzero(road[row])
        if not columns.size:
            return None
        runs = np.split(columns, np.flatnonzero(np.diff(columns) > 3) + 1)
        column = min((float(run.mean()) for run in runs), key=lambda middle: abs(middle - column))
    return float(np.degrees(np.arctan2(column - CAR[1], _LOOKAHEAD)))
