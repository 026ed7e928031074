"""Words what two arms do at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float32

from chronosim.errors import InvalidConfig
from chronosim.prompters.wording import Sentence, check_action, suggested
from chronosim.protocols import Prompter
from chronosim.types import Observation, State

_SIDES = ("left", "right")


@dataclass(frozen=True, slots=True)
class Bimanual:
    """Moves two arms at once, each worded by a prompter of its own.

    Left and right are the robot's own. The action is float32 (a + b,): the left arm's, then the
    right arm's, each in the units and axes of its prompter; so is the commanded state. Initial
    values are named with their side: `left_x`, `right_opening`.

    The wording is data: `sentence` with the gaps `left` and `right`, and each arm's own. The
    inverse, `read`, is as exact as those of the arms' prompters.

    Attributes:
        left: The left arm's prompter; its actions are vectors.
        right: The right arm's.
        sentence: The words around those of the arms.

    Raises:
        InvalidConfig: An arm's actions are no vectors, the arms hold actions for different times,
            or the sentence has not exactly these gaps.
    """

    left: Prompter
    right: Prompter
    sentence: str = "Left arm: {left} Right arm: {right}"
    _sentence: Sentence = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sentence", Sentence(self.sentence, _SIDES))
        for side, arm in zip(_SIDES, self._arms, strict=True):
            if not isinstance(arm.action_space, gym.spaces.Box):
                raise InvalidConfig(f"the {side} arm's actions must be vectors, not {arm}")
        if self.left.seconds_per_step != self.right.seconds_per_step:
            raise InvalidConfig(
                "both arms must hold an action equally long, not "
                f"{self.left.seconds_per_step} and {self.right.seconds_per_step} s"
            )

    @property
    def seconds_per_step(self) -> float | None:
        """Duration of one action, in seconds, the same for both arms."""
        return self.left.seconds_per_step

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each number of an action is, with its unit."""
        return self._sided("action_names")

    @property
    def state_names(self) -> tuple[str, ...]:
        """What each number of the commanded state is, with its unit."""
        return self._sided("state_names")

    @property
    def action_space(self) -> gym.spaces.Box:
        """The left arm's action, then the right arm's: float32 (a + b,)."""
        return _joined(*(arm.action_space for arm in self._arms))

    @property
    def state_space(self) -> gym.spaces.Box:
        """The left arm's commanded state, then the right arm's: float32."""
        return _joined(*(arm.state_space for arm in self._arms))

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts both arms at values named `left_...` and `right_...`.

        Raises:
            InvalidConfig: A name has no side, or its arm does not know it.
        """
        of: dict[str, dict[str, float]] = {side: {} for side in _SIDES}
        for name, value in values.items():
            side, _, rest = name.partition("_")
            if side not in of:
                raise InvalidConfig(
                    f"a value of two arms begins with left_ or right_, not {name!r}"
                )
            of[side][rest] = value
        begun = [arm.begin(of[side]) for side, arm in zip(_SIDES, self._arms, strict=True)]
        return np.concatenate(begun)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words both arms' actions.

        Raises:
            InvalidAction: Not float (a + b,), NaN, or outside an arm's bounds.
        """
        vector = check_action(action, self.action_space)
        seen = self._seen(observation)
        cut = len(self.left.action_space.low)  # type: ignore[attr-defined]  # checked: a Box
        left, left_after = self.left(seen[0], vector[:cut])
        right, right_after = self.right(seen[1], vector[cut:])
        text = self._sentence.fill(left=left, right=right)
        return text, np.concatenate([left_after, right_after])

    def read(self, observation: Observation, text: str) -> Float32[np.ndarray, " action"]:
        """Returns the action that a text words at an observation.

        Raises:
            InvalidPrompt: The text does not have this wording.
            InvalidConfig: An arm's prompter has no inverse.
        """
        said, found = self._sentence.read(text), []
        for side, arm, seen in zip(_SIDES, self._arms, self._seen(observation), strict=True):
            read = getattr(arm, "read", None)
            if read is None:
                raise InvalidConfig(f"the {side} arm's prompter reads no words: {arm}")
            found.append(read(seen, said[side]))
        return np.concatenate(found)

    def suggest(self, observation: Observation) -> dict[str, Any]:
        """Suggests what each arm's prompter does, one arm at a time while the other holds still."""
        seen = zip(self._arms, self._seen(observation), strict=True)
        ideas = [list(suggested(*one).items()) for one in seen]
        (name, left), (_, right) = (one[0] for one in ideas)
        found = {name: np.concatenate([left, right])}
        for (one, moved), (other, moved_too) in zip(*(rest[1:] for rest in ideas), strict=False):
            found[f"left arm: {one}"] = np.concatenate([moved, right])
            found[f"right arm: {other}"] = np.concatenate([left, moved_too])
        return found

    @property
    def _arms(self) -> tuple[Prompter, Prompter]:
        return self.left, self.right

    def _seen(self, observation: Observation) -> tuple[Observation, Observation]:
        """The observation of each arm: the same frame, its own state."""
        cut = self.left.state_space.shape[0]
        states = observation.state[:cut], observation.state[cut:]
        left, right = (Observation(observation.frame, s, observation.step) for s in states)
        return left, right

    def _sided(self, which: str) -> tuple[str, ...]:
        """The names of both arms' numbers, each with its side."""
        return tuple(
            f"{side}: {name}"
            for side, arm in zip(_SIDES, self._arms, strict=True)
            for name in getattr(arm, which, ())
        )


def _joined(left: gym.Space[Any], right: gym.Space[Any]) -> gym.spaces.Box:
    assert isinstance(left, gym.spaces.Box)
    assert isinstance(right, gym.spaces.Box)
    low, high = np.concatenate([left.low, right.low]), np.concatenate([left.high, right.high])
    return gym.spaces.Box(low, high, dtype=np.float32)
