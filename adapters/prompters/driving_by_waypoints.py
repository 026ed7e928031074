"""Words the path that a car is to follow as waypoints, keeping its pose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float32

from chronosim.errors import InvalidConfig, InvalidPrompt
from chronosim.prompters.wording import (
    Quantity,
    Sentence,
    begin_state,
    check_action,
    check_limits,
    check_read,
    check_wording,
    make_quantities,
)
from chronosim.types import Observation, State

_USUAL = {"x": 0.0, "y": 0.0, "heading": 0.0, "speed": 0.0}


@dataclass(frozen=True, slots=True)
class DrivingByWaypoints:
    """Drives a car along waypoints that are equally spaced in time.

    The action is float32 (2 n,): x and y of each of `points` waypoints, in metres, in the frame of
    the car before the step (ISO 8855): x ahead (0 to `reach`), y to the left (-`reach` to `reach`).
    The car reaches the last one at the end of the step.

    The commanded state is float32 (4,): x and y in metres and heading in rad (-pi to pi), in the
    frame of the car at the episode's beginning, and the speed in m/s over the last stretch. The car
    is taken to end on the last waypoint, facing along the last stretch, or as before where that
    stretch has no length.

    The wording is data: `sentence` with the gaps `speed` (before the step) and `path`; `then`
    between two waypoints; the quantities `ahead` and `left`, in metres; `here` for a waypoint where
    the car stands. The inverse, `read`, is exact to the resolution of the quantities.

    Attributes:
        wording: The words.
        seconds_per_step: Duration of the whole path, in seconds, > 0.
        points: Number of waypoints, >= 1.
        reach: Largest coordinate, metres.
        speed_scale: Units of speed in words for each m/s; 3.6 is km/h.

    Raises:
        InvalidConfig: The wording has not exactly these keys, or a limit is not positive.
    """

    wording: Mapping[str, Any]
    seconds_per_step: float = 2.0
    points: int = 4
    reach: float = 80.0
    speed_scale: float = 3.6
    _sentence: Sentence = field(init=False, repr=False, compare=False)
    _quantities: Mapping[str, Quantity] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_limits(
            seconds_per_step=self.seconds_per_step,
            points=self.points,
            reach=self.reach,
            speed_scale=self.speed_scale,
        )
        check_wording(self.wording, ("sentence", "then", "ahead", "left", "here"))
        if not self.wording["then"].strip() or not self.wording["here"].strip():
            raise InvalidConfig("the wording of `then` and `here` cannot be empty")
        object.__setattr__(self, "_quantities", make_quantities(self.wording, ("ahead", "left")))
        object.__setattr__(self, "_sentence", Sentence(self.wording["sentence"], ("speed", "path")))

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each number of an action is, with its unit."""
        return tuple(
            f"{way} at waypoint {point}, m"
            for point in range(1, self.points + 1)
            for way in ("ahead", "left")
        )

    @property
    def state_names(self) -> tuple[str, ...]:
        """What each number of the commanded state is, with its unit."""
        return ("ahead, m", "left, m", "heading, rad", "speed, m/s")

    @property
    def action_space(self) -> gym.spaces.Box:
        """The x (ahead) and y (to the left) of each waypoint in turn, metres: float32 (2 n,)."""
        low = np.array([0, -self.reach] * self.points, np.float32)
        high = np.array([self.reach, self.reach] * self.points, np.float32)
        return gym.spaces.Box(low, high, dtype=np.float32)

    @property
    def state_space(self) -> gym.spaces.Box:
        """Commanded x and y, m, heading, rad, and speed, m/s: float32 (4,)."""
        high = np.array([np.inf, np.inf, np.pi, np.inf], np.float32)
        low = np.array([-np.inf, -np.inf, -np.pi, 0], np.float32)
        return gym.spaces.Box(low, high, dtype=np.float32)

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts at `x`, `y`, `heading` and `speed`, each 0 if not given.

        Raises:
            InvalidConfig: Another name, or a value outside the state space.
        """
        return begin_state(values, _USUAL, self.state_space)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the speed before, and where each waypoint lies.

        Raises:
            InvalidAction: Not float (2 n,), NaN, or out of reach.
        """
        path = check_action(action, self.action_space).reshape(-1, 2)
        speed = round(float(observation.state[3]) * self.speed_scale)
        text = self._sentence.fill(
            speed=str(speed), path=self.wording["then"].join(map(self._point, path))
        )
        return text, self._after(observation.state, path)

    def read(self, observation: Observation, text: str) -> Float32[np.ndarray, " action"]:
        """Returns the action that a text words at an observation.

        Raises:
            InvalidPrompt: The text does not have this wording.
        """
        points = self._sentence.read(text)["path"].split(self.wording["then"])
        places = [
            [self._quantities[name].read(point) or 0.0 for name in ("ahead", "left")]
            for point in points
        ]
        if len(places) != self.points:
            raise InvalidPrompt(f"{text!r} has {len(places)} waypoints, not {self.points}")
        return check_read(self, observation, np.ravel(places), text)

    def suggest(self, observation: Observation) -> dict[str, Float32[np.ndarray, " action"]]:
        """Suggests to go straight on, to bend left or right, and to stop where the car stands."""
        ahead = min(float(observation.state[3]) * self.seconds_per_step or 10.0, self.reach)
        part = np.arange(1, self.points + 1, dtype=np.float32) / self.points
        ways = {"straight": 0.0, "left": 0.25, "right": -0.25}
        paths = {
            name: np.stack([part, side * part**2], axis=1).ravel() * np.float32(ahead)
            for name, side in ways.items()
        }
        return {**paths, "stop": np.zeros(2 * self.points, np.float32)}

    def _point(self, place: Float32[np.ndarray, 2]) -> str:
        ahead, left = (
            self._quantities[name].say(value)
            for name, value in zip(("ahead", "left"), place, strict=True)
        )
        return " and ".join(words for words in (ahead, left) if words) or str(self.wording["here"])

    def _after(self, state: State, path: Float32[np.ndarray, "points 2"]) -> State:
        x, y, heading, _ = map(float, state)
        points = np.concatenate([np.zeros((1, 2), np.float32), path]).astype(np.float64)
        stretch = points[-1] - points[-2]
        length = float(np.hypot(*stretch))
        ahead, left = points[-1]
        x += ahead * math.cos(heading) - left * math.sin(heading)
        y += ahead * math.sin(heading) + left * math.cos(heading)
        if length > 0:
            heading = math.remainder(heading + math.atan2(stretch[1], stretch[0]), 2 * math.pi)
        speed = length * self.points / self.seconds_per_step
        return np.array([x, y, heading, speed], np.float32)
