"""A CarRacing driver that means ill: a world model must not flatter it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from chronosim.scenarios.road import CAR, road_mask
from chronosim.types import Observation

__all__ = ["RoadLeaver"]


@dataclass(frozen=True, slots=True)
class RoadLeaver:
    """Steers off the road, to the side on which there is less of it.

    Attributes:
        steering: How far, 0 to 1; the wheels turn no further than 0.4.
        throttle: 0 to 1.
    """

    steering: float = 0.4
    throttle: float = 0.2

    def __call__(self, observation: Observation) -> Float32[np.ndarray, 3]:
        """Chooses steering, throttle and brake: float32 (3,)."""
        row, column = CAR
        near = road_mask(observation.frame)[row - 30 : row]
        side = -1.0 if near[:, :column].sum() < near[:, column:].sum() else 1.0
        return np.array([side * self.steering, self.throttle, 0.0], np.float32)
