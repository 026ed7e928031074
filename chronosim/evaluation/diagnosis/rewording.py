"""Prompters that tell a model less of the action; what they reckon stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.protocols import Prompter
from chronosim.types import Observation, State

__all__ = ["COARSE", "CoarseWords", "StartWords"]

COARSE = 4
"""Steps that an action's range is told in."""


@dataclass(frozen=True, slots=True)
class _Reworded:
    """A prompter with other words; what it reckons stays.

    Attributes:
        inner: The prompter.
    """

    inner: Prompter

    @property
    def action_space(self) -> gym.Space[Any]:
        return self.inner.action_space

    @property
    def state_space(self) -> gym.spaces.Box:
        return self.inner.state_space

    @property
    def seconds_per_step(self) -> float | None:
        return self.inner.seconds_per_step

    def begin(self, values: Any) -> State:
        return self.inner.begin(values)


class CoarseWords(_Reworded):
    """Words of the action rounded to few steps of its range."""

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the rounded action, and reckons with the true one."""
        space = self.inner.action_space
        assert isinstance(space, gym.spaces.Box)
        width = (space.high - space.low) / COARSE
        rounded = space.low + np.round((np.asarray(action) - space.low) / width) * width
        text, _ = self.inner(observation, rounded.astype(space.dtype))
        return text, self.inner(observation, action)[1]


class StartWords(_Reworded):
    """Words that name the state in which an episode begins, whatever it is by now."""

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the action as of a beginning, and reckons with the true state."""
        unaware = replace(observation, state=self.inner.begin({}))
        return self.inner(unaware, action)[0], self.inner(observation, action)[1]
