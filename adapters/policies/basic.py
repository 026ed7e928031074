"""The plainest policies: one action for ever, random ones, or those thought out before."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float32

from chronosim.errors import InvalidConfig
from chronosim.policies.acting import RowByRow
from chronosim.protocols import Prompter
from chronosim.types import Observation


@dataclass(frozen=True, slots=True)
class Constant(RowByRow):
    """Gives one action, whatever it sees.

    Attributes:
        action: The numbers of the action, in the prompter's order and units.
    """

    action: Sequence[float]

    def __call__(self, observation: Observation) -> Float32[np.ndarray, " action"]:
        """Gives the action: float32 (n,)."""
        return np.array(self.action, np.float32)


@dataclass(slots=True)
class Random(RowByRow):
    """Draws every action alike from the prompter's action space, whatever it sees.

    Attributes:
        prompter: Whose actions to draw.
        seed: Seed of the draws; the same seed draws the same actions.
    """

    prompter: Prompter
    seed: int = 0
    _space: gym.Space[Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._space = deepcopy(self.prompter.action_space)  # a prompter may keep one for all
        self._space.seed(self.seed)

    def __call__(self, observation: Observation) -> Any:
        """Draws an action."""
        return self._space.sample()


@dataclass(frozen=True, slots=True)
class Planned(RowByRow):
    """Takes the actions of a plan, one a step, whatever it sees; the last one again and again.

    Attributes:
        actions: One or more, in the prompter's units: vectors, ids or instructions.

    Raises:
        InvalidConfig: There is none.
    """

    actions: Sequence[Any]

    def __post_init__(self) -> None:
        if isinstance(self.actions, str) or not len(self.actions):
            raise InvalidConfig(f"a plan is a list of one action or more, not {self.actions!r}")

    def __call__(self, observation: Observation) -> Any:
        """Gives the action of the observation's step; a list of numbers as float32 (n,)."""
        action = self.actions[min(observation.step, len(self.actions) - 1)]
        return action if isinstance(action, str | int) else np.asarray(action, np.float32)
