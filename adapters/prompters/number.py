"""A number of an action or of the commanded state: its range, its words, its dead reckoning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chronosim.errors import InvalidConfig

__all__ = ["Number", "Reckoning"]


@dataclass(frozen=True, slots=True)
class Number:
    """How a number is worded: as a whole number, for words are learned one by one.

    Attributes:
        low: The least it can be, in its own unit.
        high: The most.
        scale: What one unit counts in words: 50 words 2.0 as 100, for percents of 2.0.
        resolution: Wording step: 5 words 37 as 35. With steps too fine a world has too many words
            to meet all of them while it learns; with steps too coarse it cannot act finely.

    Raises:
        InvalidConfig: The range is empty, or scale or resolution cannot be.
    """

    low: float
    high: float
    scale: float = 1.0
    resolution: int = 1

    def __post_init__(self) -> None:
        if not -float("inf") < self.low < self.high < float("inf"):
            raise InvalidConfig(f"a number lies from low to high, not {self.low} to {self.high}")
        if self.scale == 0 or self.resolution < 1 or self.resolution != int(self.resolution):
            raise InvalidConfig(
                "a number's scale must not be 0, and its resolution a whole number of 1 or more: "
                f"scale {self.scale}, resolution {self.resolution}"
            )

    def word(self, value: float) -> int:
        """The whole number that stands for a value in words."""
        return round(float(value) * self.scale / self.resolution) * int(self.resolution)

    def clip(self, value: float) -> float:
        """The nearest value in the range."""
        return min(max(value, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Reckoning:
    """How a number of the commanded state follows from the actions: dead reckoning.

    After a step it is `keep` times what it was, plus each number of the action times its gain (or
    the gain of the choice taken), and stays in its range.

    Attributes:
        start: What it begins with where nobody says.
        keep: The share that is kept over a step: 1 for a place, less for a speed that fades.
        gain: By the names of the action's numbers, or of its choices.
    """

    start: float = 0.0
    keep: float = 1.0
    gain: Mapping[str, float] = field(default_factory=dict)
