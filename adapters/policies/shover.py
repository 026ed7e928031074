"""A plain PushT pusher: straight through the block's middle, to the goal or away from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from chronosim.scenarios.board import GOAL, PUSHER_RADIUS, block_pose, pusher_place
from chronosim.types import Observation

__all__ = ["Shover", "StayPut"]

_BOARD = 512.0  # side of the board, in its own units
_ASIDE = 115.0  # from the block's middle at which the pusher passes by
_CONTACT = 40.0  # about as far from there, the pusher touches the block
_Place = Float[np.ndarray, "2"]


@dataclass(frozen=True, slots=True)
class Shover:
    """Goes around the block to its far side, then shoves it by its middle.

    Beside `Pusher` it knows no outline and no lever: it turns nothing on purpose.

    Attributes:
        away: Whether it means ill and shoves the block away from the goal.
        behind: Board units behind the block's middle from which it shoves.
        longest: Board units that a shove moves the block at most.
    """

    away: bool = False
    behind: float = 95.0
    longest: float = 60.0

    def __call__(self, observation: Observation) -> Float32[np.ndarray, 2]:
        """Chooses where to go: float32 (2,), board units."""
        block, seen = block_pose(observation.frame), pusher_place(observation.frame)
        here = observation.state.astype(np.float64) if seen is None else seen
        if block is None:
            return _on_board(here)
        middle = np.array([block.x, block.y])
        way = (np.array([GOAL.x, GOAL.y]) - middle) * (-1 if self.away else 1)
        distance = max(float(np.linalg.norm(way)), 1e-6)
        toward = way / distance
        far = self.longest if self.away else min(distance, self.longest)
        return _on_board(middle + self._next(here - middle, toward, far))

    def _next(self, here: _Place, toward: _Place, far: float) -> _Place:
        """Where to go, seen from the block's middle."""
        along = float(here @ toward)
        aside = here - along * toward
        off = float(np.linalg.norm(aside))
        if along < -_CONTACT and off < 15:
            return toward * (far - _CONTACT)
        if along < -_CONTACT:
            return -toward * self.behind
        out = aside / off if off > 1 else np.array([-toward[1], toward[0]])
        if off < _ASIDE - 15:  # out of the block's way first, then back past it
            return along * toward + _ASIDE * out
        return -self.behind * toward + _ASIDE * out


@dataclass(frozen=True, slots=True)
class StayPut:
    """Sends PushT's pusher to where it already is: doing nothing, as PushT words it."""

    def __call__(self, observation: Observation) -> Float32[np.ndarray, 2]:
        """Gives the commanded place: float32 (2,), board units."""
        return _on_board(observation.state)


def _on_board(place: Float[np.ndarray, 2] | Float32[np.ndarray, 2]) -> Float32[np.ndarray, 2]:
    return np.clip(place, PUSHER_RADIUS, _BOARD - PUSHER_RADIUS).astype(np.float32)
