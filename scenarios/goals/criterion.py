"""What every criterion is: how nearly something holds after a step."""

from __future__ import annotations

import inspect
from typing import Protocol, runtime_checkable

from chronosim.errors import InvalidConfig
from chronosim.types import Observation, Prediction

__all__ = ["Criterion", "check_share", "in_words"]


@runtime_checkable
class Criterion(Protocol):
    """Says how nearly something holds after a step; a plain function will do.

    `str()` of those here is the criterion in plain words, without a full stop: "the road is lost".
    """

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Gives 0 to 1; 1 where it holds."""
        ...


def in_words(criterion: Criterion) -> str:
    """Gives a criterion in plain words: its `str()`, or the first line of a function's docstring.

    Where it has neither, its name.
    """
    if type(criterion).__str__ is not object.__str__:
        return str(criterion)
    lines = (inspect.getdoc(criterion) or "").splitlines()
    return lines[0].rstrip(".") if lines else getattr(criterion, "__name__", repr(criterion))


def check_share(name: str, value: float) -> None:
    """Refuses a share that is none.

    Raises:
        InvalidConfig: It does not lie above 0 and up to 1.
    """
    if not 0 < value <= 1:
        raise InvalidConfig(f"{name} must lie above 0 and be at most 1, not {value}")
