"""What every prompter asks of its input."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float32

from chronosim.errors import InvalidAction, InvalidConfig

__all__ = ["check_action", "check_names"]


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
