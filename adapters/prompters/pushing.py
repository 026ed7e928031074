"""Words where the pusher of PushT goes, keeping its commanded place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.prompters.wording import begin_state, check_action
from chronosim.types import Observation, State

_BOARD = 512.0  # board units from edge to edge, gym-pusht's own


@dataclass(frozen=True, slots=True)
class Pushing:
    """Sends a pusher to a place on a board, where it arrives within `seconds_per_step`.

    The action is float32 (2,): the place to go to, x (across, from the left) and y (down, from the
    top), 0 to 512 board units, as in gym-pusht. The commanded state is float32 (2,): the place the
    pusher was last sent to, in the same units. The pusher is really there: nothing on the board can
    stop it, and it needs less than 0.9 s from edge to edge.

    The words tell the way and the place in percent of the board:
    "The pusher moves 20% right and 5% up, to x=55% y=40%."

    Attributes:
        seconds_per_step: How long one action is held, in seconds.
        foretells: Whether the words also say where it comes from and how far it goes: "The pusher
            moves 20% right and 5% up, 21% in all, from x=35%, y=45%, to x=55% y=40%." Logs that do
            not name it have none of that.
    """

    seconds_per_step: float = 0.9
    foretells: bool = False

    @property
    def action_space(self) -> gym.spaces.Box:
        """Where to go: float32 (2,), x and y, 0 to 512 board units."""
        return gym.spaces.Box(0.0, _BOARD, (2,), np.float32)

    @property
    def state_space(self) -> gym.spaces.Box:
        """Where the pusher was sent last: float32 (2,), x and y, 0 to 512 board units."""
        return gym.spaces.Box(0.0, _BOARD, (2,), np.float32)

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts at `x` and `y`, board units, by default in the middle of the board.

        Raises:
            InvalidConfig: Another name, or a place off the board.
        """
        return begin_state(values, {"x": _BOARD / 2, "y": _BOARD / 2}, self.state_space)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the way from the commanded place to the action's.

        Raises:
            InvalidAction: Not float (2,), NaN, or off the board.
        """
        target = np.asarray(check_action(action, self.action_space), np.float32)
        x, y = (round(100 * float(part) / _BOARD) for part in target)
        from_x, from_y = (round(100 * float(part) / _BOARD) for part in observation.state)
        across = f"{abs(x - from_x)}% {'left' if x < from_x else 'right'}"
        along = f"{abs(y - from_y)}% {'up' if y < from_y else 'down'}"
        way = f"{across} and {along},"
        if self.foretells:
            far = round(float(np.hypot(x - from_x, y - from_y)))
            way += f" {far}% in all, from x={from_x}%, y={from_y}%,"
        return f"The pusher moves {way} to x={x}% y={y}%.", target

    def suggest(self, observation: Observation) -> dict[str, list[float]]:
        """Suggests the middles of the board's four sides."""
        near, middle, far = 3 * _BOARD / 16, _BOARD / 2, 13 * _BOARD / 16
        sides = {"left": [near, middle], "right": [far, middle]}
        return {**sides, "up": [middle, near], "down": [middle, far]}
