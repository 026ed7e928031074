"""Words the manoeuvres that a car can be told to make, keeping its speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.adapters.prompters.checks import begin_state, check_limits
from chronosim.adapters.prompters.sentence import Sentence
from chronosim.errors import InvalidAction, InvalidConfig, InvalidPrompt
from chronosim.types import Observation, State

__all__ = ["ManoeuvrePrompter"]


@dataclass(frozen=True, slots=True)
class ManoeuvrePrompter:
    """Drives a car by manoeuvres, one a step.

    The action is the index of one of `manoeuvres`, in their order, from 0; left and right are the
    driver's. The commanded state is float32 (1,): the speed in m/s, 0 to `top_speed`, which each
    manoeuvre changes by its `faster`, until a limit is reached.

    The wording is data: `sentence` with the gaps `speed` (before the step, in whole units of
    `speed_scale`) and `manoeuvre`. The inverse, `read`, is exact.

    Attributes:
        manoeuvres: By name, each with its `words` and, in m/s, its `faster` (0 if not given).
        sentence: The words around a manoeuvre's.
        seconds_per_step: How long one manoeuvre takes, in seconds, > 0.
        top_speed: m/s.
        speed_scale: Units of speed in words for each m/s; 3.6 is km/h.

    Raises:
        InvalidConfig: Fewer than two manoeuvres, two of the same words, or a limit that is not
            positive.
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
    def action_space(self) -> gym.spaces.Discrete:
        """The manoeuvres, 0 to n - 1."""
        return gym.spaces.Discrete(len(self._words))

    @property
    def state_space(self) -> gym.spaces.Box:
        """Commanded speed in m/s: float32 (1,)."""
        return gym.spaces.Box(0.0, self.top_speed, (1,), np.float32)

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts at `speed` m/s (0 if not named).

        Raises:
            InvalidConfig: Another name than `speed`, or one out of its bounds.
        """
        return begin_state(values, {"speed": 0.0}, self.state_space)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the manoeuvre, with the speed before it.

        Raises:
            InvalidAction: It is no index of one.
        """
        if isinstance(action, bool) or not self.action_space.contains(action):
            known = ", ".join(f"{index} ({name})" for index, name in enumerate(self.manoeuvres))
            raise InvalidAction(f"a manoeuvre must be one of {known}, not {action!r}")
        speed = float(observation.state[0])
        text = self._sentence.fill(
            speed=str(round(speed * self.speed_scale)), manoeuvre=self._words[int(action)]
        )
        chosen = list(self.manoeuvres.values())[int(action)]
        after = min(max(speed + float(chosen.get("faster", 0.0)), 0.0), self.top_speed)
        return text, np.array([after], np.float32)

    def read(self, observation: Observation, text: str) -> int:
        """Gives the manoeuvre that a text means.

        Raises:
            InvalidPrompt: It is none of them.
        """
        words = self._sentence.read(text)["manoeuvre"]
        if words not in self._words:
            raise InvalidPrompt(f"{words!r} is none of the manoeuvres: {', '.join(self._words)}")
        return self._words.index(words)
