"""What every prompter asks of its input."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, cast

import gymnasium as gym
import numpy as np
from jaxtyping import Float32

from chronosim.errors import InvalidAction, InvalidConfig

_Value = TypeVar("_Value")

__all__ = [
    "begin_state",
    "check_action",
    "check_limits",
    "check_names",
    "check_wording",
    "make_value",
]


def check_action(action: Any, space: gym.spaces.Box) -> Float32[np.ndarray, " action"]:
    """Gives a vector action as float32 once it lies in the space.

    Raises:
        InvalidAction: Wrong shape, not numbers, NaN, or out of the space's bounds.
    """
    try:
        vector = np.asarray(action, np.float32)
    except (TypeError, ValueError) as error:
        wanted = f"an action must be {space.shape[0]} numbers"
        raise InvalidAction(f"{wanted}, not {action!r}") from error
    if vector.shape != space.shape:
        raise InvalidAction(f"an action must have shape {space.shape}, not {vector.shape}")
    if not np.isfinite(vector).all():
        raise InvalidAction(f"an action must be finite, not {vector.tolist()}")
    if (vector < space.low).any() or (vector > space.high).any():
        raise InvalidAction(
            f"an action must lie between {space.low.tolist()} and {space.high.tolist()}, "
            f"not {vector.tolist()}"
        )
    return vector


def check_names(values: Mapping[str, float], known: Collection[str]) -> None:
    """Refuses initial values that a prompter does not keep.

    Raises:
        InvalidConfig: A name is not among `known`.
    """
    for name in values:
        if name not in known:
            raise InvalidConfig(
                f"this prompter keeps no initial value {name!r}; it knows: "
                f"{', '.join(sorted(known)) or 'none'}"
            )


def check_limits(**limits: float) -> None:
    """Refuses limits that are none.

    Raises:
        InvalidConfig: One is not a finite number above 0.
    """
    for name, limit in limits.items():
        if not 0 < limit < math.inf:
            raise InvalidConfig(f"{name} must be a number above 0, not {limit}")


def check_wording(wording: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuses a wording that lacks words, or has some that nothing is worded by.

    Raises:
        InvalidConfig: It does not have exactly the keys in `known`.
    """
    for name in known:
        if name not in wording:
            raise InvalidConfig(f"the wording lacks {name!r}; it needs: {', '.join(known)}")
    for name in wording:
        if name not in known:
            raise InvalidConfig(f"the wording has no use for {name!r}, only: {', '.join(known)}")


def make_value(kind: type[_Value], given: Any, what: str) -> _Value:
    """Makes a dataclass of named settings.

    Args:
        kind: The dataclass.
        given: Its fields by name; or one that is made already.
        what: What to call it in an error: "the event 'rain'".

    Raises:
        InvalidConfig: A field is unknown, missing or cannot be.
    """
    if isinstance(given, kind):
        return given
    known = {one.name: one for one in fields(cast("Any", kind))}
    if not isinstance(given, Mapping):
        raise InvalidConfig(f"{what} is made of {', '.join(known)}, not of {given!r}")
    for name in given:
        if name not in known:
            raise InvalidConfig(f"{what} has no {name!r}; it has: {', '.join(known)}")
    for name, one in known.items():
        if one.default is MISSING and name not in given:
            raise InvalidConfig(f"{what} lacks {name!r}")
    try:
        return kind(**given)
    except (TypeError, InvalidConfig) as error:
        raise InvalidConfig(f"{what} cannot be: {error}") from error


def begin_state(
    values: Mapping[str, float], usual: Mapping[str, float], space: gym.spaces.Box
) -> Float32[np.ndarray, " state"]:
    """Gives the commanded state at the start of an episode.

    Args:
        values: Named initial values.
        usual: What each number of the state is called, in order, and begins with if not named.
        space: Where the state must lie.

    Raises:
        InvalidConfig: A name that is not kept, or a value out of its bounds.
    """
    check_names(values, usual)
    state = np.array([values.get(name, start) for name, start in usual.items()], np.float32)
    for name, value, low, high in zip(usual, state, space.low, space.high, strict=True):
        if not low <= value <= high:
            raise InvalidConfig(f"{name} must lie from {low:g} to {high:g}, not {value:g}")
    return state
