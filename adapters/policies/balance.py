"""A CarRacing driver that looks for no middle: it weighs the road on its left and its right."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32

from chronosim.scenarios.road import CAR, road_mask
from chronosim.types import Observation

__all__ = ["RoadBalance"]


@dataclass(slots=True)
class RoadBalance:
    """Steers by how much more road lies ahead on one side than on the other, and by its change.

    A proportional-differential controller on one feature, the difference of the two areas over
    their sum. Beside `LaneFollower` it aims at no point, follows no line, and remembers a frame.

    Attributes:
        target_speed: m/s that throttle and brake aim at.
        rows: Rows ahead of the car in which the road is weighed (1 row is about half a metre).
        gain: Steering per unit of the difference, which is -1 (all on the left) to 1.
        damping: Steering per unit by which the difference grew since the last step.
    """

    target_speed: float = 15.0
    rows: int = 30
    gain: float = 0.5
    damping: float = 0.15
    _before: float | None = field(init=False, repr=False, default=None)

    def __call__(self, observation: Observation) -> Float32[np.ndarray, 3]:
        """Chooses steering, throttle and brake: float32 (3,)."""
        row, column = CAR
        ahead = road_mask(observation.frame)[max(row - self.rows, 0) : row]
        left, right = float(ahead[:, :column].sum()), float(ahead[:, column:].sum())
        lean = (right - left) / max(left + right, 1.0)
        growth = 0.0 if self._before is None else lean - self._before
        self._before = lean
        steering = float(np.clip(self.gain * lean + self.damping * growth, -0.4, 0.4))
        error = self.target_speed - float(observation.state[0])
        throttle, brake = np.clip([0.02 * error, -0.02 * (error + 3)], 0.0, (0.25, 0.2))
        return np.array([steering, throttle, brake], np.float32)
