"""Other actions at a moment, to see whether a world model tells what comes of them apart.

Such a policy is asked many times at the same observation and gives another action each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32

from chronosim.policies.acting import RowByRow
from chronosim.scenarios.board import PUSHER_RADIUS
from chronosim.types import Observation

_BOARD = 512.0  # side of PushT's board, in its own units
_Drive = Float32[np.ndarray, "3"]
_Place = Float32[np.ndarray, "2"]


@dataclass(slots=True)
class AnyDrive(RowByRow):
    """Steers a car about as far as its wheels turn (0.4), gives moderate gas, sometimes brakes.

    Attributes:
        seed: Seed of the draws.
    """

    seed: int = 0
    _rng: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def __call__(self, observation: Observation) -> _Drive:
        """Draws steering, throttle and brake: float32 (3,)."""
        rng = self._rng
        throttle = rng.choice([0.0, rng.uniform(0, 0.3), rng.uniform(0, 1)], p=[0.3, 0.5, 0.2])
        brake = rng.choice([0.0, rng.uniform(0, 0.5)], p=[0.7, 0.3])
        return np.array([rng.uniform(-0.5, 0.5), throttle, brake], np.float32)


@dataclass(slots=True)
class AnyPush(RowByRow):
    """Sends PushT's pusher to a place: mostly a near one, at times anywhere on the board.

    Attributes:
        seed: Seed of the draws.
        near: Share of places that are drawn around the pusher.
        reach: Deviation of those in x and in y, board units (the board has 512).
    """

    seed: int = 0
    near: float = 0.7
    reach: float = 90.0
    _rng: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def __call__(self, observation: Observation) -> _Place:
        """Draws where to go, (x, y) in board units: float32 (2,).

        Args:
            observation: Its state is where the pusher is, (x, y) in board units.
        """
        if self._rng.random() < self.near:
            place = self._rng.normal(observation.state, self.reach)
        else:
            place = self._rng.uniform(0, _BOARD, 2)
        return np.clip(place, PUSHER_RADIUS, _BOARD - PUSHER_RADIUS).astype(np.float32)
