"""Does the same at every step: the plainest question to ask of a world model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from chronosim.types import Observation

__all__ = ["ConstantPolicy"]


@dataclass(frozen=True, slots=True)
class ConstantPolicy:
    """Gives one action, whatever it sees.

    Attributes:
        action: The numbers of the action, in the prompter's order and units.
    """

    action: Sequence[float]

    def __call__(self, observation: Observation) -> Float32[np.ndarray, " action"]:
        """Gives the action: float32 (n,)."""
        return np.array(self.action, np.float32)
