"""Takes actions that were thought out before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chronosim.errors import InvalidConfig
from chronosim.types import Observation

__all__ = ["PlanPolicy"]


@dataclass(frozen=True, slots=True)
class PlanPolicy:
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
