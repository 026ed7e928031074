"""Driving on CarRacing's road, judged by the predicted frame alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.scenarios.goals.road import Moving, OnRoad, RoadLost
from chronosim.scenarios.road import CAR, road_mask, road_share
from chronosim.scenarios.starts import Starts, load_small
from chronosim.types import Frame, Observation, Prediction

_UNDER, _WHOLE = 8, 0.45  # pixels around the car; share of road there with all wheels on it
_SLOWEST = 5.0  # m/s of a moment at which an episode may begin


@dataclass(frozen=True, slots=True)
class CarRacingScenario:
    """Begins on the road at some speed; being on the road and moving is what counts.

    The reward of a step, 0 to 1, is read off the predicted outcome: the share of road within 8
    pixels of the car, linear from 0.25 (no wheel on the road: 0) to 0.45 (all wheels: 1). It is 0
    where the picture above the dashboard changed by less than 1 grey level on average: the car
    stands still. The episode terminates where less than 1 % of the ground within 20 pixels of the
    car (about ten metres) is road. Source of the numbers: 144 steps of CarRacing-v3 with the truth
    about its wheels: the median reward was 1.0 with four wheels on the road, 0.8 with three, 0.7
    with two, and 0.0 with one or none.

    Attributes:
        starts: Path of the first frames: an .npz with `frames`, uint8 (n, 96, 96, 3), and `speed`,
            float32 (n,) in m/s, or a folder of RGB PNGs; None for the shipped ones.
        speed: Speed at the start in m/s, for PNGs, which do not hold one.

    Raises:
        EpisodeNotFound: There is nothing at `starts`.
        InvalidFrame: The first frames are not RGB uint8 of 96 x 96.
    """

    starts: str | Path | None = None
    speed: float = 0.0
    _starts: Starts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = load_small("carracing", self.starts, {"speed": self.speed})
        object.__setattr__(self, "_starts", starts)

    @property
    def instruction(self) -> str:
        """What a policy is asked to do, in words."""
        return "Drive along the road without leaving it."

    def begin(self, rng: np.random.Generator) -> tuple[Frame, Mapping[str, float]]:
        """Draws a first frame, uint8 (96, 96, 3), and the `speed` that goes with it, m/s."""
        return self._starts.draw(rng)

    def score(
        self, before: Observation, action: Any, prediction: Prediction, after: Observation
    ) -> tuple[float, bool]:
        """Judges one step: the reward, 0 to 1, and whether the road is lost."""
        step = before, prediction, after
        if RoadLost()(*step):
            return 0.0, True
        return min(Moving()(*step), OnRoad()(*step)), False


def may_begin(observation: Observation) -> bool:
    """Whether an episode may begin here: at 5 m/s or more, wholly on a road that goes on ahead.

    Road must show in each of the 30 rows ahead. The shipped first frames were picked by this rule
    (`save_starts`).
    """
    frame = observation.frame
    return (
        float(observation.state[0]) >= _SLOWEST
        and road_share(frame, _UNDER) >= _WHOLE
        and bool(road_mask(frame)[CAR[0] - 30 : CAR[0]].any(axis=1).all())
    )
