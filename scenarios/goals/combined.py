"""Criteria made of criteria."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chronosim.errors import InvalidConfig
from chronosim.scenarios.goals.criterion import Criterion, in_words
from chronosim.types import Observation, Prediction

__all__ = ["AllOf", "AnyOf", "Not"]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds where all of several criteria hold; as nearly as the one that holds least.

    Attributes:
        criteria: One or more.

    Raises:
        InvalidConfig: There is none.
    """

    criteria: Sequence[Criterion]

    def __post_init__(self) -> None:
        _check_some(self.criteria)

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Gives the least of theirs, 0 to 1."""
        return min(criterion(before, prediction, after) for criterion in self.criteria)

    def __str__(self) -> str:
        return " and ".join(map(in_words, self.criteria))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds where one of several criteria holds; as nearly as the one that holds most.

    Attributes:
        criteria: One or more.

    Raises:
        InvalidConfig: There is none.
    """

    criteria: Sequence[Criterion]

    def __post_init__(self) -> None:
        _check_some(self.criteria)

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Gives the most of theirs, 0 to 1."""
        return max(criterion(before, prediction, after) for criterion in self.criteria)

    def __str__(self) -> str:
        return " or ".join(map(in_words, self.criteria))


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where another criterion is not met in the least.

    Attributes:
        criterion: The other.
    """

    criterion: Criterion

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Gives what is missing there, 0 to 1."""
        return 1.0 - self.criterion(before, prediction, after)

    def __str__(self) -> str:
        return f"not so that {in_words(self.criterion)}"


def _check_some(criteria: Sequence[Criterion]) -> None:
    if not criteria:
        raise InvalidConfig("of no criteria there is nothing to hold: name one or more")
