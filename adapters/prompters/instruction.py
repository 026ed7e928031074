"""Takes instructions in free words."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.adapters.prompters.checks import check_names
from chronosim.adapters.prompters.sentence import Sentence
from chronosim.errors import InvalidAction
from chronosim.types import Observation, State

__all__ = ["InstructionPrompter"]

_LONGEST = 1500  # characters: about 400 of the 512 tokens that ChronoEdit reads
_LETTERS = string.ascii_letters + string.digits + " ,.'-"


@dataclass(frozen=True, slots=True)
class InstructionPrompter:
    """Passes on what is said: the action is an edit in free words, of any language.

    The action is a text of 1 to 1,500 characters on one line: "The black sedan moves forward." It
    is for models that take free words; chronosim-nano refuses words that it never learned, and
    names them. There is no commanded state.

    The inverse, `read`, is exact.

    Attributes:
        sentence: The words around the instruction; `{instruction}` stands for it.
        seconds_per_step: How long one instruction is under way, in seconds; None: there is no
            clock.

    Raises:
        InvalidConfig: The sentence has not exactly this gap.
    """

    sentence: str = "{instruction}"
    seconds_per_step: float | None = None
    _sentence: Sentence = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sentence", Sentence(self.sentence, ["instruction"]))

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
        """Passes the words on.

        Raises:
            InvalidAction: No text, none but space, more than one line, or more than 1,500
                characters.
        """
        if not isinstance(action, str) or not action.strip():
            raise InvalidAction(f"an instruction must be words, not {action!r}")
        if len(action) > _LONGEST:
            raise InvalidAction(
                f"an instruction may have {_LONGEST} characters, but this one has {len(action)}: "
                f"{action[:60]!r} ..."
            )
        if not action.isprintable():
            raise InvalidAction(f"an instruction is one line of plain text, not {action[:60]!r}")
        return self._sentence.fill(instruction=action), observation.state

    def read(self, observation: Observation, text: str) -> str:
        """Gives the instruction that a text passes on.

        Raises:
            InvalidPrompt: The text is not of this sentence.
        """
        return self._sentence.read(text)["instruction"]
