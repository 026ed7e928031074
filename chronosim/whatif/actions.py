"""Actions as a space has them, and as something to look them up by."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.errors import InvalidAction

__all__ = ["ActionKey", "action_key", "as_action"]

ActionKey = tuple[str, tuple[int, ...], bytes]
"""What two equal actions have in common: dtype, shape and bytes."""


def as_action(space: gym.Space[Any], action: Any, where: str = "") -> Any:
    """Gives an action in the types of its space: lists of numbers become arrays.

    Args:
        space: The prompter's action space.
        action: As a file or a policy gives it.
        where: Which action of which plan, for the error.

    Raises:
        InvalidAction: It does not lie in the space.
    """
    try:
        if isinstance(space, gym.spaces.Box | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary):
            action = np.asarray(action, space.dtype)
        elif isinstance(space, gym.spaces.Discrete) and isinstance(action, np.integer | np.ndarray):
            action = action.item()
        inside = space.contains(action)
    except (TypeError, ValueError, OverflowError):
        inside = False
    if not inside:
        given = action.tolist() if isinstance(action, np.ndarray) else action
        raise InvalidAction(f"{f'{where}: ' if where else ''}{given!r} does not lie in {space}")
    return action


def action_key(action: Any) -> ActionKey:
    """Gives what an action is looked up by; equal actions of one space have equal keys."""
    values = np.asarray(action)
    if values.dtype.kind in "US":
        return "words", values.shape, str(values.tolist()).encode()
    return values.dtype.str, values.shape, values.tobytes()
