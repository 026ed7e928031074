"""Words steering, throttle and brake, or whole manoeuvres, keeping the commanded speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.errors import InvalidConfig, InvalidPrompt
from chronosim.prompters.wording import (
    Sentence,
    begin_state,
    check_action,
    check_choice,
    check_limits,
)
from chronosim.types import Observation, State


@dataclass(frozen=True, slots=True)
class Driving:
    """Drives a car by steering, throttle and brake, each held for `seconds_per_step`.

    The action is float32 (3,): steering from -1 (full left) to 1 (full right), throttle 0 to 1,
    brake 0 to 1, as in CarRacing. The commanded state is float32 (1,): the speed in m/s, by dead
    reckoning from the actions. It is never read off a frame, so it drifts from the truth where the
    car slips or leaves the road.

    The dead reckoning is `dv/dt = power * throttle / (v + 1.5) - scrub * |steering| * v
    - braking * sqrt(brake)`: an engine of constant power, tyres that scrub in a bend, brakes that
    saturate. Source of the defaults: least absolute error over 1,000 holds of 18 frames in
    CarRacing-v3 under a lane follower with random actions mixed in. There it errs by 1.0 m/s after
    one hold (assuming an unchanged speed errs by 3.7) and by 5 to 6 m/s after twenty.

    Attributes:
        seconds_per_step: How long one action is held, in seconds.
        power: Engine power per mass at full throttle, m^2/s^3.
        scrub: Speed lost per unit of steering, 1/s.
        braking: Deceleration at full brake, m/s^2.
        top_speed: Upper limit of the commanded speed, m/s: the fastest that nano was trained on.
        resolution: Wording step of steering, throttle and brake, in percent.
        foretells: Whether the words say by the same reckoning what changes: "The car goes from 17
            to 0 m/s, 3 m ahead. ..." in place of "The car drives at 17 m/s. ...". A world model
            learns sooner from them what an action does; logs that do not name it have none.
    """

    seconds_per_step: float = 0.36
    power: float = 1650.0
    scrub: float = 0.2
    braking: float = 90.0
    top_speed: float = 58.0
    resolution: int = 5
    foretells: bool = False

    @property
    def state_names(self) -> tuple[str, ...]:
        """What each number of the commanded state is, with its unit."""
        return ("speed, m/s",)

    @property
    def action_space(self) -> gym.spaces.Box:
        """Steering, throttle, brake: float32 (3,), from (-1, 0, 0) to (1, 1, 1)."""
        return gym.spaces.Box(
            np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32), dtype=np.float32
        )

    @property
    def state_space(self) -> gym.spaces.Box:
        """Commanded speed in m/s: float32 (1,), 0 to `top_speed`."""
        return gym.spaces.Box(0.0, self.top_speed, (1,), np.float32)

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts at `speed` m/s, 0 if not given.

        Raises:
            InvalidConfig: Another name than `speed`, or a speed outside 0 to `top_speed`.
        """
        return begin_state(values, {"speed": 0.0}, self.state_space)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the action with the speed before it, and the one after it if it `foretells`.

        Raises:
            InvalidAction: Not float (3,), NaN, or out of bounds.
        """
        steering, throttle, brake = check_action(action, self.action_space)
        speed = float(observation.state[0])
        after = self._after(speed, steering, throttle, brake)
        text = (
            f"{self._motion(speed, after)} Steer {self._steering(steering)} "
            f"with {self._percent(throttle)}% throttle and {self._percent(brake)}% brake."
        )
        return text, np.array([after], np.float32)

    def _motion(self, speed: float, after: float) -> str:
        if not self.foretells:
            return f"The car drives at {speed:.0f} m/s."
        way = (speed + after) / 2 * self.seconds_per_step
        return f"The car goes from {speed:.0f} to {after:.0f} m/s, {way:.0f} m ahead."

    def suggest(self, observation: Observation) -> dict[str, list[float]]:
        """Suggests to drive straight on, to steer left or right, and to brake."""
        straight, left, right = [0.0, 0.1, 0.0], [-0.25, 0.1, 0.0], [0.25, 0.1, 0.0]
        return {"straight": straight, "left": left, "right": right, "brake": [0.0, 0.0, 0.6]}

    def _percent(self, value: float) -> int:
        return round(abs(float(value)) * 100 / self.resolution) * self.resolution

    def _steering(self, steering: float) -> str:
        percent = self._percent(steering)
        if percent == 0:
            return "straight"
        return f"{percent}% {'left' if steering < 0 else 'right'}"

    def _after(self, speed: float, steering: float, throttle: float, brake: float) -> float:
        """The speed after one held action: explicit Euler at 50 Hz, CarRacing's own rate."""
        ticks = max(1, round(self.seconds_per_step * 50))
        dt = self.seconds_per_step / ticks
        for _ in range(ticks):
            gain = self.power * throttle / (speed + 1.5)
            loss = self.scrub * abs(steering) * speed + self.braking * brake**0.5
            speed = min(max(speed + dt * (gain - loss), 0.0), self.top_speed)
        return speed


@dataclass(frozen=True, slots=True)
class Manoeuvres:
    """Drives a car by one manoeuvre a step.

    The action is the index of one of `manoeuvres`; left and right are the driver's. The commanded
    state is float32 (1,): the speed in m/s, 0 to `top_speed`, which each manoeuvre changes by its
    `faster`, within these limits.

    The wording is data: `sentence` with the gaps `speed` (before the step, in whole units of
    `speed_scale`) and `manoeuvre`. The inverse, `read`, is exact.

    Attributes:
        manoeuvres: By name, each with its `words` and, in m/s, its `faster` (default 0).
        sentence: The words around those of a manoeuvre.
        seconds_per_step: How long one manoeuvre takes, in seconds, > 0.
        top_speed: m/s.
        speed_scale: Units of speed in words for each m/s; 3.6 is km/h.

    Raises:
        InvalidConfig: There are fewer than two manoeuvres, two have the same words, or a limit is
            not positive.
    """

    manoeuvres: Mapping[str, Mapping[str, Any]]
    sentence: str
    seconds_per_step: float = 2.0
    top_speed: float = 40.0
    speed_scale: float = 3.6
    _words: Sequence[str] = field(init=False, repr=False, compare=False)
    _sentence: Sentence = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_limits(
            seconds_per_step=self.seconds_per_step,
            top_speed=self.top_speed,
            speed_scale=self.speed_scale,
        )
        for name, given in self.manoeuvres.items():
            if "words" not in given or set(given) - {"words", "faster"}:
                raise InvalidConfig(
                    f"the manoeuvre {name!r} needs words, and may have faster, not {dict(given)}"
                )
        words = tuple(str(given["words"]) for given in self.manoeuvres.values())
        if len(words) < 2 or len(set(words)) < len(words):
            raise InvalidConfig(f"there must be two or more different manoeuvres, not {words}")
        object.__setattr__(self, "_words", words)
        object.__setattr__(self, "_sentence", Sentence(self.sentence, ("speed", "manoeuvre")))

    @property
    def state_names(self) -> tuple[str, ...]:
        """What each number of the commanded state is, with its unit."""
        return ("speed, m/s",)

    @property
    def action_space(self) -> gym.spaces.Discrete:
        """The manoeuvres, 0 to n - 1."""
        return gym.spaces.Discrete(len(self._words))

    @property
    def state_space(self) -> gym.spaces.Box:
        """Commanded speed in m/s: float32 (1,)."""
        return gym.spaces.Box(0.0, self.top_speed, (1,), np.float32)

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts at `speed` m/s, 0 if not given.

        Raises:
            InvalidConfig: Another name than `speed`, or a speed outside 0 to `top_speed`.
        """
        return begin_state(values, {"speed": 0.0}, self.state_space)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the manoeuvre, with the speed before it.

        Raises:
            InvalidAction: The action is no index of a manoeuvre.
        """
        index = check_choice(action, tuple(self.manoeuvres))
        speed = float(observation.state[0])
        text = self._sentence.fill(
            speed=str(round(speed * self.speed_scale)), manoeuvre=self._words[index]
        )
        chosen = list(self.manoeuvres.values())[index]
        after = min(max(speed + float(chosen.get("faster", 0.0)), 0.0), self.top_speed)
        return text, np.array([after], np.float32)

    def suggest(self, observation: Observation) -> dict[str, int]:
        """Suggests the manoeuvres, by their names."""
        return {name: index for index, name in enumerate(self.manoeuvres)}

    def read(self, observation: Observation, text: str) -> int:
        """Returns the manoeuvre that a text words.

        Raises:
            InvalidPrompt: It words none of them.
        """
        words = self._sentence.read(text)["manoeuvre"]
        if words not in self._words:
            raise InvalidPrompt(f"{words!r} is none of the manoeuvres: {', '.join(self._words)}")
        return self._words.index(words)
