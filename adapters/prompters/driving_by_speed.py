"""Words a car's target speed and yaw rate, keeping speed and heading."""

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

_GAPS = ("before", "speed", "turn")
_CHANGES = ("faster", "slower", "same", "stop", "stand")


@dataclass(frozen=True, slots=True)
class DrivingBySpeed:
    """Drives a car by a target speed and a yaw rate, held for `seconds_per_step`.

    The action is float32 (2,): the speed at the end of the step, 0 to `top_speed` m/s, and the yaw
    rate during it, -`top_yaw_rate` to `top_yaw_rate` rad/s. Seen from above, a positive yaw rate
    turns the car to the left, counterclockwise (ISO 8855: x ahead, y to the left, z up).

    The commanded state is float32 (2,): the speed in m/s, and the heading in rad, -pi to pi from
    where the episode began, positive to the left. Both are taken to follow the action exactly.

    The wording is data: `sentence` with the gaps `before`, `speed` and `turn`, and the words for
    each. Speeds are worded in whole units of `speed_scale` (3.6: km/h), turns by the quantity
    `turn` of the angle turned in the step. The inverse, `read`, is exact to that precision; turns
    too small to be worded are read as none.

    Attributes:
        wording: `sentence`; `faster` and `slower`, each with a `{}` for the speed reached; `same`,
            `stop` and `stand` (no change, to zero, still at zero); `turn`: a `Quantity` of radians.
        seconds_per_step: How long one action is held, in seconds, > 0.
        top_speed: m/s.
        top_yaw_rate: rad/s.
        speed_scale: Units of speed in words for each m/s.

    Raises:
        InvalidConfig: The wording has not exactly these keys, or a limit is not positive.
    """

    wording: Mapping[str, Any]
    seconds_per_step: float = 1.0
    top_speed: float = 40.0
    top_yaw_rate: float = 0.8
    speed_scale: float = 3.6
    _sentence: Sentence = field(init=False, repr=False, compare=False)
    _turn: Quantity = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_limits(
            seconds_per_step=self.seconds_per_step,
            top_speed=self.top_speed,
            top_yaw_rate=self.top_yaw_rate,
            speed_scale=self.speed_scale,
        )
        check_wording(self.wording, ("sentence", *_CHANGES, "turn"))
        for name in ("faster", "slower"):
            if self.wording[name].count("{}") != 1:
                raise InvalidConfig(f"{name} needs one {{}} for the speed: {self.wording[name]!r}")
        object.__setattr__(self, "_turn", make_quantities(self.wording, ["turn"])["turn"])
        object.__setattr__(self, "_sentence", Sentence(self.wording["sentence"], _GAPS))

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each number of an action is, with its unit."""
        return ("speed, m/s", "turn to the left, rad/s")

    @property
    def state_names(self) -> tuple[str, ...]:
        """What each number of the commanded state is, with its unit."""
        return ("speed, m/s", "heading, rad")

    @property
    def action_space(self) -> gym.spaces.Box:
        """Speed to reach, m/s, and yaw rate, rad/s, positive to the left: float32 (2,)."""
        low = np.array([0, -self.top_yaw_rate], np.float32)
        high = np.array([self.top_speed, self.top_yaw_rate], np.float32)
        return gym.spaces.Box(low, high, dtype=np.float32)

    @property
    def state_space(self) -> gym.spaces.Box:
        """Commanded speed, m/s, and heading, rad, positive to the left: float32 (2,)."""
        low = np.array([0, -np.pi], np.float32)
        high = np.array([self.top_speed, np.pi], np.float32)
        return gym.spaces.Box(low, high, dtype=np.float32)

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts at `speed`, m/s, and `heading`, rad, each 0 if not given.

        Raises:
            InvalidConfig: Another name, or a value outside the state space.
        """
        return begin_state(values, {"speed": 0.0, "heading": 0.0}, self.state_space)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the speed before, how it changes, and the angle turned.

        Raises:
            InvalidAction: Not float (2,), NaN, or out of bounds.
        """
        speed, yaw_rate = map(float, check_action(action, self.action_space))
        before, heading = map(float, observation.state)
        angle = yaw_rate * self.seconds_per_step
        text = self._sentence.fill(
            before=str(self._units(before)),
            speed=self._change(self._units(before), self._units(speed)),
            turn=self._turn.say(angle),
        )
        heading = math.remainder(heading + angle, 2 * math.pi)
        # float32's pi is a little above pi, so that no rounding leaves the state space.
        return text, np.array([speed, heading], np.float32)

    def read(self, observation: Observation, text: str) -> Float32[np.ndarray, 2]:
        """Returns the action that a text words at an observation.

        Raises:
            InvalidPrompt: The text does not have this wording.
        """
        said = self._sentence.read(text)
        before = self._units(float(observation.state[0]))
        speed, turn = self._read_change(before, said["speed"]), self._turn.read(said["turn"]) or 0.0
        yaw_rate = turn / self.seconds_per_step
        return check_read(self, observation, [speed / self.speed_scale, yaw_rate], text)

    def suggest(self, observation: Observation) -> dict[str, list[float]]:
        """Suggests to keep on, to turn left or right at that speed, to speed up, and to brake."""
        speed, turn = float(observation.state[0]), self.top_yaw_rate / 2
        faster = min(speed + self.top_speed / 8, self.top_speed)
        moving = speed or faster  # a car that stands has no turn to show
        turns = {"left": [moving, turn], "right": [moving, -turn]}
        found = {"keep on": [speed, 0.0], **turns, "faster": [faster, 0.0]}
        return {**found, "brake": [0.0, 0.0]} if speed else found

    def _units(self, speed: float) -> int:
        return round(speed * self.speed_scale)

    def _change(self, before: int, after: int) -> str:
        if before == after:
            return str(self.wording["stand" if after == 0 else "same"])
        if after == 0:
            return str(self.wording["stop"])
        return str(self.wording["faster" if after > before else "slower"]).format(after)

    def _read_change(self, before: int, words: str) -> int:
        if words in (self.wording["stop"], self.wording["stand"]):
            return 0
        if words == self.wording["same"]:
            return before
        digits = "".join(filter(str.isdigit, words))
        if not digits:
            raise InvalidPrompt(f"{words!r} has no speed in it")
        return int(digits)
