"""What a world model is measured against: a reference simulator and who acts in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chronosim.adapters.simulators.reference import ReferenceSimulator
from chronosim.errors import InvalidConfig
from chronosim.protocols import Prompter
from chronosim.types import Observation

__all__ = ["Policy", "Reference", "Region"]

Policy = Callable[[Observation], Any]
"""From an observation to an action."""


@dataclass(frozen=True, slots=True)
class Region:
    """The lower part of a frame, to be judged with and without.

    Instruments, say: they move on their own, and tell of an action what the rest does not.

    Attributes:
        name: What is there.
        first_row: It covers the rows from here down, >= 1.

    Raises:
        InvalidConfig: `first_row` is below 1.
    """

    name: str
    first_row: int

    def __post_init__(self) -> None:
        if self.first_row < 1:
            raise InvalidConfig(
                f"a region to leave out must begin in row 1 or below, not in row {self.first_row}"
            )

    def cut(
        self, frames: UInt8[np.ndarray, "*many height width 3"]
    ) -> UInt8[np.ndarray, "*many rows width 3"]:
        """Gives what lies above it."""
        return frames[..., : self.first_row, :, :]


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference simulator and who acts in it.

    It can be pickled where its parts can, so that several processes draw from it.

    Attributes:
        simulator: Makes the simulator.
        prompter: Words the actions, and keeps the commanded state.
        policy: Makes the policy of an episode from a seed.
        alternatives: Makes from a seed a policy that draws another action each time it is asked.
        left_out: A region in which outcomes need not differ to be told apart; None: no such region.
    """

    simulator: Callable[[], ReferenceSimulator]
    prompter: Prompter
    policy: Callable[[int], Policy]
    alternatives: Callable[[int], Policy]
    left_out: Region | None = None
