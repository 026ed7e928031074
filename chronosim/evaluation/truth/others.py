"""Other actions: those of other steps that are really worded otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chronosim.protocols import Prompter
from chronosim.types import Observation

__all__ = ["other_actions"]


def other_actions(
    prompter: Prompter,
    observation: Observation,
    own: Any,
    candidates: Sequence[Any],
    number: int,
) -> list[Any]:
    """Picks the first actions that a model is told apart from the own one, and from each other.

    Steps may share their words (an episode of one instruction): a model that does the same under
    the same words has not ignored anything.

    Args:
        prompter: Words them.
        observation: Where they would be taken.
        own: The action that was taken there.
        candidates: Where to pick from, in this order.
        number: How many at most.

    Returns:
        None or more.
    """
    known = {prompter(observation, own)[0]}
    found: list[Any] = []
    for action in candidates:
        if len(found) == number:
            break
        text, _ = prompter(observation, action)
        if text not in known:
            known.add(text)
            found.append(action)
    return found
