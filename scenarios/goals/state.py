"""A goal in the commanded state: a speed, a place."""

from __future__ import annotations

from dataclasses import dataclass

from chronosim.errors import InvalidConfig
from chronosim.types import Observation, Prediction


@dataclass(frozen=True, slots=True)
class CommandedState:
    """Holds where a number of the commanded state lies within bounds.

    The prompter reckons the state from the actions and never looks at the frame: combine this
    criterion with one that does.

    Attributes:
        index: Index of the number, as the prompter documents them.
        low: Lower bound, in the number's unit.
        high: Upper bound, in the number's unit.
        name: The number's name.

    Raises:
        InvalidConfig: The bounds are reversed, or the index is negative.
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
        """Looks the number up: 0 or 1.

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
