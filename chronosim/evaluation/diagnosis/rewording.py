"""Prompters that tell a model less of the action; what they reckon stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.protocols import Prompter
from chronosim.simulator import Simulator
from chronosim.types import Observation, State

__all__ = ["tell_less"]

_COARSE = 4  # steps that an action's range is told in


def tell_less(simulator: Simulator) -> Iterator[tuple[str, str, Simulator]]:
    """Gives the simulator with worse words, in each way that its prompter allows.

    Args:
        simulator: A model and its prompter.

    Yields:
        A word for JSON, what was changed in words, and the simulator so changed.
    """
    prompter = simulator.prompter
    if isinstance(prompter.action_space, gym.spaces.Box):
        coarse = replace(simulator, prompter=_CoarseWords(prompter))
        yield "coarse words", f"actions worded in {_COARSE} steps of their range", coarse
    if prompter.state_space.shape[0]:
        unaware = replace(simulator, prompter=_StartWords(prompter))
        yield "no state", "told the state of a beginning at every step", unaware


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


class _CoarseWords(_Reworded):
    """Words of the action rounded to few steps of its range."""

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the rounded action, and reckons with the true one."""
        space = self.inner.action_space
        assert isinstance(space, gym.spaces.Box)
        width = (space.high - space.low) / _COARSE
        rounded = space.low + np.round((np.asarray(action) - space.low) / width) * width
        text, _ = self.inner(observation, rounded.astype(space.dtype))
        return text, self.inner(observation, action)[1]


class _StartWords(_Reworded):
    """Words that name the state in which an episode begins, whatever it is by now."""

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the action as of a beginning, and reckons with the true state."""
        unaware = replace(observation, state=self.inner.begin({}))
        return self.inner(unaware, action)[0], self.inner(observation, action)[1]
