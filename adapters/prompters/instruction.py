"""Takes instructions in free words, or fills the sentence that triggers a LoRA."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.prompters.wording import Sentence, check_names
from chronosim.types import Observation, State

_LONGEST = 1500  # characters: about 400 of the 512 tokens that ChronoEdit reads
_LETTERS = string.ascii_letters + string.digits + " ,.'-"


@dataclass(frozen=True, slots=True)
class Instruction:
    """Passes an instruction on: the action is an edit in free words, of any language.

    The action is a text of 1 to 1,500 characters on one line: "The black sedan moves forward."
    chronosim-nano takes no free words: it refuses those that it never learned, and names them.
    There is no commanded state. The inverse, `read`, is exact.

    Attributes:
        sentence: The words around `{instruction}`.
        seconds_per_step: Duration of one instruction, in seconds; None without a clock.

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
        """Free words; samples have letters, digits, spaces, commas, points and hyphens."""
        return gym.spaces.Text(_LONGEST, min_length=1, charset=_LETTERS)

    @property
    def state_space(self) -> gym.spaces.Box:
        """Empty: float32 (0,)."""
        return gym.spaces.Box(-np.inf, np.inf, (0,), np.float32)

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts with the empty state.

        Raises:
            InvalidConfig: A value is given.
        """
        check_names(values, ())
        return np.zeros(0, np.float32)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Puts the instruction into the sentence.

        Raises:
            InvalidAction: The action is no text, blank, of several lines, or longer than 1,500
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

    def suggest(self, observation: Observation) -> dict[str, str]:
        """Suggests what any photo allows: nothing changes, or the camera moves."""
        return {
            "as it is": "Nothing changes.",
            "closer": "The camera moves forward.",
            "left": "The camera pans to the left.",
            "right": "The camera pans to the right.",
        }

    def read(self, observation: Observation, text: str) -> str:
        """Returns the instruction in a text.

        Raises:
            InvalidPrompt: The text does not have the sentence's form.
        """
        return self._sentence.read(text)["instruction"]


_LONGEST_SUBJECT = 200  # characters; a description, not an essay


@dataclass(frozen=True, slots=True)
class Trigger:
    """Puts an action's words into the `{}` of a fixed sentence.

    The action is a text of 1 to 200 characters, of any language; without a `{}` the sentence is the
    same for every action. There is no commanded state and no clock.

    Attributes:
        sentence: The trigger, with at most one `{}`.

    Raises:
        InvalidConfig: The sentence has other braces.
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
        """Free words; samples have letters, digits, spaces, commas, points and hyphens."""
        return gym.spaces.Text(_LONGEST_SUBJECT, min_length=1, charset=_LETTERS)

    @property
    def state_space(self) -> gym.spaces.Box:
        """Empty: float32 (0,)."""
        return gym.spaces.Box(-np.inf, np.inf, (0,), np.float32)

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts with the empty state.

        Raises:
            InvalidConfig: A value is given.
        """
        check_names(values, ())
        return np.zeros(0, np.float32)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the action.

        Raises:
            InvalidAction: The action is no text, only spaces and points, or longer than 200
                characters.
        """
        words = action.strip().rstrip(".") if isinstance(action, str) else ""
        if not words or len(action) > _LONGEST_SUBJECT:
            raise InvalidAction(
                f"an action must be words, 1 to {_LONGEST_SUBJECT} characters of them, "
                f"not {action!r}"
            )
        return self.sentence.replace("{}", words), observation.state
