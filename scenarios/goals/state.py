"""A goal in the commanded state: a speed, a place."""

from __future__ import annotations

from dataclasses import dataclass

from chronosim.errors import InvalidConfig
from chronosim.types import Observation, Prediction

__all__ = ["CommandedState"]


@dataclass(frozen=True, slots=True)
class CommandedState:
    """Holds where a number of the commanded state lies within bounds.

    It is what the prompter reckons from the actions, not what the frame shows: use it beside a
    criterion that looks.

    Attributes:
        index: Which number, from 0, as the prompter documents them.
        low: In its unit.
        high: In its unit.
        name: What to call it.

    Raises:
        InvalidConfig: The bounds are the wrong way round, or there is no such number.
    """

    index: int
    low: float
    high: float
    name: str

    def __post_init__(self) -> None:
        if self.index < 0 or not self.low <= self.high:
            raise InvalidConfig(
                f"the commanded {self.name} needs an index of 0 or more and low up to high: "
                f"index {self.index}, {self.low} to {self.high}"
            )

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Looks it up: 0 or 1.

        Raises:
            InvalidConfig: The prompter keeps fewer numbers.
        """
        if self.index >= len(after.state):
            raise InvalidConfig(
                f"the commanded {self.name} should be number {self.index} of the state, but this "
                f"prompter keeps {len(after.state)}"
            )
        return float(self.low <= float(after.state[self.index]) <= self.high)

    def __str__(self) -> str:
        return f"the commanded {self.name} lies from {self.low:g} to {self.high:g}"
