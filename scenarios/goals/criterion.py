"""The criterion protocol, how nearly something holds after a step, and criteria of criteria."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from chronosim.errors import InvalidConfig
from chronosim.types import Observation, Prediction


@runtime_checkable
class Criterion(Protocol):
    """Says how nearly something holds after a step; a plain function will do.

    `str()` of those here is the criterion in plain words, without a full stop: "the road is lost".
    """

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Gives 0 to 1; 1 where it holds."""
        ...


def in_words(criterion: Criterion) -> str:
    """Gives a criterion in plain words: its `str()`, its docstring's first line, or its name."""
    if type(criterion).__str__ is not object.__str__:
        return str(criterion)
    lines = (inspect.getdoc(criterion) or "").splitlines()
    return lines[0].rstrip(".") if lines else getattr(criterion, "__name__", repr(criterion))


def check_share(name: str, value: float) -> None:
    """Raises InvalidConfig unless a share lies above 0 and is at most 1."""
    if not 0 < value <= 1:
        raise InvalidConfig(f"{name} must lie above 0 and be at most 1, not {value}")


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds where all of one or more criteria hold; as nearly as the one that holds least.

    Raises:
        InvalidConfig: There is no criterion.
    """

    criteria: Sequence[Criterion]

    def __post_init__(self) -> None:
        _check_some(self.criteria)

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Gives the lowest of their values, 0 to 1."""
        return min(criterion(before, prediction, after) for criterion in self.criteria)

    def __str__(self) -> str:
        return " and ".join(map(in_words, self.criteria))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds where one of several criteria holds; as nearly as the one that holds most.

    Raises:
        InvalidConfig: There is no criterion.
    """

    criteria: Sequence[Criterion]

    def __post_init__(self) -> None:
        _check_some(self.criteria)

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Gives the highest of their values, 0 to 1."""
        return max(criterion(before, prediction, after) for criterion in self.criteria)

    def __str__(self) -> str:
        return " or ".join(map(in_words, self.criteria))


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where another criterion does not hold at all."""

    criterion: Criterion

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Gives 1 minus the other's value, 0 to 1."""
        return 1.0 - self.criterion(before, prediction, after)

    def __str__(self) -> str:
        return f"not so that {in_words(self.criterion)}"


def _check_some(criteria: Sequence[Criterion]) -> None:
    if not criteria:
        raise InvalidConfig("a criterion of criteria needs at least one of them")
