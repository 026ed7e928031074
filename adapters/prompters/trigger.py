"""Words an action as the sentence that a LoRA was trained to be triggered by."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.adapters.prompters.checks import check_names
from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.types import Observation, State

__all__ = ["TriggerPrompter"]

_LONGEST = 200  # characters; a description, not an essay
_LETTERS = string.ascii_letters + string.digits + " ,.'-"


@dataclass(frozen=True, slots=True)
class TriggerPrompter:
    """Puts an action's words into a fixed sentence, at its `{}`.

    The action is a text of 1 to 200 characters, of any language; a sentence without `{}` is the
    same for every action. There is no commanded state and no clock.

    Attributes:
        sentence: The trigger, with at most one `{}`.

    Raises:
        InvalidConfig: Other braces than one `{}`.
    """

    sentence: str

    def __post_init__(self) -> None:
        if self.sentence.count("{}") > 1 or set("{}") & set(self.sentence.replace("{}", "")):
            raise InvalidConfig(
                f"a trigger sentence may have one {{}} and no other brace, not {self.sentence!r}"
            )

    @property
    def seconds_per_step(self) -> None:
        """None: an edit has no clock."""
        return None

    @property
    def action_space(self) -> gym.spaces.Text:
        """Plain words; samples are of letters, digits, spaces, commas, points and hyphens."""
        return gym.spaces.Text(_LONGEST, min_length=1, charset=_LETTERS)

    @property
    def state_space(self) -> gym.spaces.Box:
        """Nothing is kept: float32 (0,)."""
        return gym.spaces.Box(-np.inf, np.inf, (0,), np.float32)

    def begin(self, values: Mapping[str, float]) -> State:
        """Keeps nothing.

        Raises:
            InvalidConfig: A value is named.
        """
        check_names(values, ())
        return np.zeros(0, np.float32)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the action.

        Raises:
            InvalidAction: No text, none but space and points, or more than 200 characters.
        """
        words = action.strip().rstrip(".") if isinstance(action, str) else ""
        if not words or len(action) > _LONGEST:
            raise InvalidAction(
                f"an action must be words, 1 to {_LONGEST} characters of them, not {action!r}"
            )
        return self.sentence.replace("{}", words), observation.state
