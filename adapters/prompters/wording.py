"""Quantities and sentences with gaps, and the checks that every prompter makes."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from string import Formatter
from typing import Any, TypeVar, cast

import gymnasium as gym
import numpy as np
from jaxtyping import Float32

from chronosim.errors import InvalidAction, InvalidConfig, InvalidPrompt
from chronosim.protocols import Prompter
from chronosim.types import Observation

_Value = TypeVar("_Value")


def check_action(action: Any, space: gym.spaces.Box) -> Float32[np.ndarray, " action"]:
    """Returns a vector action as float32 if it lies in the space.

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
    """Raises InvalidConfig for an initial value whose name is not among `known`."""
    for name in values:
        if name not in known:
            raise InvalidConfig(
                f"this prompter has no initial value {name!r}; it has: "
                f"{', '.join(sorted(known)) or 'none'}"
            )


def check_limits(**limits: float) -> None:
    """Raises InvalidConfig unless each limit is finite and above 0."""
    for name, limit in limits.items():
        if not 0 < limit < math.inf:
            raise InvalidConfig(f"{name} must be a number above 0, not {limit}")


def check_wording(wording: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises InvalidConfig unless a wording has exactly the keys in `known`."""
    for name in known:
        if name not in wording:
            raise InvalidConfig(f"the wording lacks {name!r}; it needs: {', '.join(known)}")
    for name in wording:
        if name not in known:
            raise InvalidConfig(f"the wording needs no {name!r}, only: {', '.join(known)}")


def make_value(kind: type[_Value], given: Any, what: str) -> _Value:
    """Builds a dataclass from its fields by name; an instance is returned as it is.

    Args:
        kind: The dataclass.
        given: Its fields by name, or an instance.
        what: The subject of error sentences: "the event 'rain'".

    Raises:
        InvalidConfig: A field is unknown, missing or invalid.
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
    """Builds the commanded state at the start of an episode.

    Args:
        values: Initial values by name.
        usual: The default of each number of the state, by name and in order.
        space: The state space.

    Raises:
        InvalidConfig: A name is unknown, or a value lies outside the space.
    """
    check_names(values, usual)
    state = np.array([values.get(name, start) for name, start in usual.items()], np.float32)
    for name, value, low, high in zip(usual, state, space.low, space.high, strict=True):
        if not low <= value <= high:
            raise InvalidConfig(f"{name} must lie from {low:g} to {high:g}, not {value:g}")
    return state


def check_choice(action: Any, names: Sequence[str]) -> int:
    """Returns the index of one of several named choices.

    Raises:
        InvalidAction: The action is no whole number from 0 to `len(names) - 1`.
    """
    if isinstance(action, bool) or not gym.spaces.Discrete(len(names)).contains(action):
        known = ", ".join(f"{index} ({name})" for index, name in enumerate(names))
        raise InvalidAction(f"an action must be one of {known}, not {action!r}")
    return int(action)


def check_read(
    prompter: Prompter, observation: Observation, action: Any, text: str
) -> Float32[np.ndarray, " action"]:
    """Returns the action that a text was read as, within the bounds of the action space.

    Args:
        prompter: One whose actions are vectors.
        observation: What the text was said of.
        action: What its words were read as.
        text: The words.

    Raises:
        InvalidPrompt: The prompter words this action differently.
    """
    space: Any = prompter.action_space
    inside = np.clip(np.asarray(action, np.float32), space.low, space.high)
    if prompter(observation, inside)[0] != text:
        raise InvalidPrompt(f"{text!r} is not what this prompter says of any action here")
    return inside


_NUMBER = r"(\d+)"


@dataclass(frozen=True, slots=True)
class Quantity:
    """Words a number as a whole number of some unit, and its sign as a direction.

    Attributes:
        plus: The words above zero, such as "{} cm to the left"; `{}` stands for the number.
        minus: The words below zero, such as "{} cm to the right".
        zero: The words for zero; "" leaves it unmentioned.
        scale: Units in words for each unit of the number: 100 words metres in centimetres.
        resolution: Wording step: 5 words 37 as 35.

    Raises:
        InvalidConfig: `plus` or `minus` lacks its `{}`, both are alike, or `scale` or `resolution`
            is not positive.
    """

    plus: str
    minus: str
    zero: str = ""
    scale: float = 1.0
    resolution: int = 1

    def __post_init__(self) -> None:
        for words in (self.plus, self.minus):
            if words.count("{}") != 1 or set("{}") & set(words.replace("{}", "")):
                raise InvalidConfig(f"the words of a quantity need one {{}}, not {words!r}")
        if set("{}") & set(self.zero):
            raise InvalidConfig(f"the words for zero must not have a {{}}: {self.zero!r}")
        if self.plus == self.minus:
            raise InvalidConfig(f"plus and minus must be told apart, not both be {self.plus!r}")
        if self.scale <= 0 or self.resolution < 1 or self.resolution != int(self.resolution):
            raise InvalidConfig(
                "a quantity's scale must be above 0, and its resolution a whole number of 1 or "
                f"more: scale {self.scale}, resolution {self.resolution}"
            )

    def word(self, value: float) -> int:
        """Returns the signed whole number that words a value."""
        return round(float(value) * self.scale / self.resolution) * int(self.resolution)

    def say(self, value: float) -> str:
        """Words a value; "" where it rounds to zero and zero has no words."""
        number = self.word(value)
        if number == 0:
            return self.zero
        return (self.plus if number > 0 else self.minus).format(abs(number))

    def read(self, text: str) -> float | None:
        """Reads the value off words, to the precision of the wording; None if they have none."""
        for words, sign in ((self.plus, 1), (self.minus, -1)):
            before, after = map(re.escape, words.split("{}"))
            found = re.search(rf"(?<!\w){before}{_NUMBER}{after}(?!\w)", text)
            if found:
                return sign * int(found[1]) / self.scale
        return None


def make_quantities(wording: Mapping[str, Any], names: Sequence[str]) -> dict[str, Quantity]:
    """Builds the quantities of a wording from their fields; InvalidConfig names an invalid one."""
    return {name: make_value(Quantity, wording[name], f"the wording of {name}") for name in names}


@dataclass(frozen=True, slots=True)
class Sentence:
    """A template with named gaps, such as "The car {turn} and {speed}".

    Attributes:
        template: The words; `{name}` is a gap.
        gaps: The names of the gaps; the template must have each exactly once.

    Raises:
        InvalidConfig: A gap is missing, unknown or doubled, or two stand side by side.
    """

    template: str
    gaps: Collection[str]

    def __post_init__(self) -> None:
        try:
            parts = list(Formatter().parse(self.template))
        except ValueError as error:
            raise InvalidConfig(
                f"the sentence {self.template!r} cannot be read: {error}"
            ) from error
        named = [name for _, name, _, _ in parts if name is not None]
        if sorted(named) != sorted(self.gaps):
            wanted = ", ".join(f"{{{name}}}" for name in self.gaps)
            raise InvalidConfig(f"the sentence needs {wanted}, each once: {self.template!r}")
        if any(spec or kind for _, _, spec, kind in parts):
            raise InvalidConfig(f"the gaps of {self.template!r} hold words and take no format")
        if any(not text for text, name, _, _ in parts[1:] if name is not None):
            raise InvalidConfig(f"two gaps need something between them: {self.template!r}")

    def fill(self, **words: str) -> str:
        """Fills the gaps with words."""
        return self.template.format(**words)

    def read(self, text: str) -> dict[str, str]:
        """Returns the words that fill the gaps of a text.

        Raises:
            InvalidPrompt: The text does not have this sentence's form.
        """
        pattern = "".join(
            re.escape(fixed) + (f"(?P<{name}>.*?)" if name is not None else "")
            for fixed, name, _, _ in Formatter().parse(self.template)
        )
        found = re.fullmatch(pattern, text, re.DOTALL)
        if found is None:
            raise InvalidPrompt(f"{text!r} does not have the form {self.template!r}")
        return found.groupdict()


def suggested(prompter: Prompter, observation: Observation) -> Mapping[str, Any]:
    """Gives actions that differ clearly, by name: what a person would ask about first.

    They are what the prompter itself suggests; of one without a method `suggest`, each choice of
    its action space, or what `spread` gives.

    Args:
        prompter: Whose actions.
        observation: Where they are to be taken; the first one suggested changes the least.

    Raises:
        InvalidConfig: The prompter suggests nothing, and its action space is neither Discrete nor a
            bounded Box of one axis.
    """
    suggest, space = getattr(prompter, "suggest", None), prompter.action_space
    if suggest is not None:
        found: Mapping[str, Any] = suggest(observation)
        return found
    if isinstance(space, gym.spaces.Discrete):
        first = int(space.start)
        return {f"choice {value}": value for value in range(first, first + int(space.n))}
    if isinstance(space, gym.spaces.Box) and space.is_bounded() and len(space.shape) == 1:
        return spread(space, [f"number {index}" for index in range(space.shape[0])])
    raise InvalidConfig(
        f"{type(prompter).__name__} suggests no actions and none can be made of {space}: give plans"
    )


def spread(space: gym.spaces.Box, names: Sequence[str]) -> dict[str, list[float]]:
    """Takes each number of an action to its least and its most while the others are at rest.

    Args:
        space: Bounded, of one axis. At rest is 0, or the middle where 0 lies outside.
        names: Of the numbers, in order.
    """
    low, high = space.low.astype(float), space.high.astype(float)
    still = np.where((low <= 0) & (high >= 0), 0.0, (low + high) / 2)
    found = {"still": still.tolist()}
    for index, name in enumerate(names):
        for bound in (low[index], high[index]):
            if bound != still[index]:
                found[f"{name} at {bound:g}"] = [*still[:index], bound, *still[index + 1 :]]
    return found


def listed(parts: Sequence[str]) -> str:
    """Joins words in a spoken list: "a, b and c"; "" for none."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
