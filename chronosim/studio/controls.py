"""How an action is given in a page: by keys, by a click, by words, by sliders."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.prompters.driving import Driving
from chronosim.prompters.pushing import Pushing
from chronosim.prompters.wording import suggested
from chronosim.protocols import Prompter
from chronosim.types import Observation

_DRIVE = Driving().action_space
_PLACE = Pushing().action_space
_NAMED = 16  # choices that get a button with words; more get numbers


def describe_controls(prompter: Prompter, first: Observation) -> dict[str, Any]:
    """Describes the controls for a prompter's actions, in JSON values.

    They follow from its action space, not from its type, so that a prompter around another one has
    the same.

    Args:
        prompter: The prompter.
        first: Where its world begins: choices are named by their words there.

    Returns:
        `kind`: `drive` (keys), `place` (a click on the frame), `words`, `choice` (a button each) or
        `numbers` (a slider each), and what that kind needs.

    Raises:
        InvalidConfig: There are no controls for such actions.
    """
    space = prompter.action_space
    if space == _DRIVE:
        return {"kind": "drive", "state": ["speed, m/s"]}
    if space == _PLACE:
        side = float(_PLACE.high[0])
        return {"kind": "place", "side": side, "state": ["x", "y"]}
    if isinstance(space, gym.spaces.Text):
        return {"kind": "words", "longest": int(space.max_length)}
    if isinstance(space, gym.spaces.Discrete):
        choices = range(int(space.start), int(space.start + space.n))
        return {
            "kind": "choice",
            "first": choices[0],
            "words": _worded(prompter, first, choices),
            "state": list(getattr(prompter, "state_names", ())),
        }
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and space.is_bounded():
        return {
            "kind": "numbers",
            "low": space.low.tolist(),
            "high": space.high.tolist(),
            "names": list(getattr(prompter, "action_names", ())),
            "state": list(getattr(prompter, "state_names", ())),
        }
    raise InvalidConfig(
        f"the studio gives words, choices and bounded vectors as actions, not {space}: "
        "use this prompter from Python"
    )


def suggest_actions(prompter: Prompter, here: Observation) -> list[tuple[str, Any]]:
    """Gives actions that a person would ask about at a moment, by name, in JSON values.

    Args:
        prompter: Whose actions; none where it suggests nothing.
        here: The moment.
    """
    try:
        found = suggested(prompter, here)
    except InvalidConfig:
        return []
    return [(name, np.asarray(action).tolist()) for name, action in found.items()]


def read_action(space: gym.Space[Any], given: Any) -> Any:
    """Reads an action as a page sends it; the prompter itself checks its limits.

    Args:
        space: The prompter's action space.
        given: A JSON value.

    Raises:
        InvalidAction: The value is of another kind than the space's actions.
    """
    if isinstance(space, gym.spaces.Text):
        if not isinstance(given, str):
            raise InvalidAction(f"an action must be words here, not {type(given).__name__}")
        return given
    if isinstance(space, gym.spaces.Discrete):
        if type(given) is not int or not space.contains(given):
            last = int(space.start + space.n - 1)
            raise InvalidAction(
                f"an action must be a whole number from {int(space.start)} to {last}, "
                f"not {_short(given)}"
            )
        return given
    if not isinstance(given, list) or not all(type(value) in (int, float) for value in given):
        raise InvalidAction(f"an action must be a list of numbers here, not {_short(given)}")
    try:
        return np.array(given, np.float32)
    except OverflowError as error:
        raise InvalidAction(f"an action must be finite, not {_short(given)}") from error


def _worded(prompter: Prompter, first: Observation, choices: range) -> list[str]:
    """The words of each choice."""
    if len(choices) > _NAMED:
        return [str(choice) for choice in choices]
    return [prompter(first, choice)[0] for choice in choices]


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."
