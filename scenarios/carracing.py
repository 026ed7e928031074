"""Driving on CarRacing's road, judged by the predicted frame alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import InvalidFrame
from chronosim.scenarios.goals.road import Moving, OnRoad, RoadLost
from chronosim.scenarios.road import CAR, road_mask, road_share
from chronosim.scenarios.starts import Starts, load_starts
from chronosim.types import Frame, Observation, Prediction

__all__ = ["CarRacingScenario", "may_begin"]

_SIZE = (96, 96)
_UNDER, _WHOLE = 8, 0.45  # pixels around the car; share of road there with all wheels on it
_SLOWEST = 5.0  # m/s of a moment at which an episode may begin


@dataclass(frozen=True, slots=True)
class CarRacingScenario:
    """Begins on the road at some speed; being on the road and moving is what counts.

    The reward of a step is 0 to 1, read off the predicted outcome: the share of road within 8
    pixels of the car, 0.45 or more counting as 1 (all wheels on the road) and 0.25 or less as 0
    (none), linear in between; and 0 where the picture above the dashboard changed by less than 1
    grey level on average, for then the car stands still. The episode terminates where less than 1 %
    of what lies within 20 pixels of the car (about ten metres) is road. Source of the numbers:
    144 steps of CarRacing-v3 with the truth about its wheels: the median reward was 1.0 with four
    wheels on the road, 0.8 with three, 0.7 with two, and 0.0 with one or none.

    Attributes:
        starts: Path of the first frames: an .npz with `frames`, uint8 (n, 96, 96, 3), and `speed`,
            float32 (n,) in m/s, or a folder of RGB PNGs; None for the shipped ones.
        speed: m/s at the start, for PNGs, which do not tell it.

    Raises:
        EpisodeNotFound: There is nothing at `starts`.
        InvalidFrame: The first frames are not RGB uint8 of 96 x 96.
    """

    starts: str | Path | None = None
    speed: float = 0.0
    _starts: Starts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        values = {"speed": self.speed}
        starts = _shipped() if self.starts is None else load_starts(self.starts, values)
        if starts.frames.shape[1:3] != _SIZE:
            raise InvalidFrame(
                f"CarRacing's first frames must be 96 x 96, not {starts.frames.shape[1:3]}"
            )
        object.__setattr__(self, "_starts", starts)

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
    """Whether an episode may begin here: moving, wholly on a road that can be seen to go on.

    That is 5 m/s or more, and road in each of the 30 rows ahead; the shipped first frames were
    picked by it (`save_starts`).
    """
    frame = observation.frame
    return (
        float(observation.state[0]) >= _SLOWEST
        and road_share(frame, _UNDER) >= _WHOLE
        and bool(road_mask(frame)[CAR[0] - 30 : CAR[0]].any(axis=1).all())
    )


def _shipped() -> Starts:
    with as_file(files("chronosim.scenarios") / "starts" / "carracing.npz") as path:
        return load_starts(path)
