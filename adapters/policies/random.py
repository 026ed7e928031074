"""Acts at random: the floor that any policy has to beat."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

from chronosim.protocols import Prompter
from chronosim.types import Observation

__all__ = ["RandomPolicy"]


@dataclass(slots=True)
class RandomPolicy:
    """Draws every action alike from the prompter's action space, whatever it sees.

    Attributes:
        prompter: Whose actions to draw.
        seed: Seed of the draws; the same seed draws the same actions.
    """

    prompter: Prompter
    seed: int = 0
    _space: gym.Space[Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._space = self.prompter.action_space
        self._space.seed(self.seed)

    def __call__(self, observation: Observation) -> Any:
        """Draws an action."""
        return self._space.sample()
