"""Numbers, quantities and sentences with gaps, and the checks that every prompter makes."""

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

__all__ = [
    "Quantity",
    "Sentence",
    "begin_state",
    "check_action",
    "check_limits",
    "check_names",
    "check_wording",
    "listed",
    "make_quantities",
    "make_value",
    "spread",
    "suggested",
]

_Value = TypeVar("_Value")


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


_NUMBER = r"(\d+)"


@dataclass(frozen=True, slots=True)
class Quantity:
    """Words a number as a whole number of some unit, and its sign as a direction.

    Attributes:
        plus: The words above zero, such as "{} cm to the left"; `{}` stands for the number.
        minus: The words below zero, such as "{} cm to the right".
        zero: The words for zero; "": none, it is not mentioned.
        scale: How many of the words' units one of the number's is: 100 for metres in centimetres.
        resolution: Wording step: 5 words 37 as 35.

    Raises:
        InvalidConfig: Words without exactly one `{}`, alike on both sides, or a scale or
            resolution of 0 or less.
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
            raise InvalidConfig(f"the words for zero have no number to hold: {self.zero!r}")
        if self.plus == self.minus:
            raise InvalidConfig(f"plus and minus must be told apart, not both be {self.plus!r}")
        if self.scale <= 0 or self.resolution < 1 or self.resolution != int(self.resolution):
            raise InvalidConfig(
                "a quantity's scale must be above 0, and its resolution a whole number of 1 or "
                f"more: scale {self.scale}, resolution {self.resolution}"
            )

    def word(self, value: float) -> int:
        """Gives the whole number, with its sign, that stands for a value in words."""
        return round(float(value) * self.scale / self.resolution) * int(self.resolution)

    def say(self, value: float) -> str:
        """Words a value; "" where it is too small to be told and zero has no words."""
        number = self.word(value)
        if number == 0:
            return self.zero
        return (self.plus if number > 0 else self.minus).format(abs(number))

    def read(self, text: str) -> float | None:
        """Finds the value in words, to the precision of the wording; None if it is not there."""
        for words, sign in ((self.plus, 1), (self.minus, -1)):
            before, after = map(re.escape, words.split("{}"))
            found = re.search(rf"(?<!\w){before}{_NUMBER}{after}(?!\w)", text)
            if found:
                return sign * int(found[1]) / self.scale
        return None


def make_quantities(given: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Quantity]:
    """Makes the quantities of a prompter from its settings.

    Args:
        given: The fields of a `Quantity`, by name.
        names: Those that there must be.

    Raises:
        InvalidConfig: One is missing, unknown, or cannot be; the sentence names it.
    """
    check_wording(given, names)
    return {name: make_value(Quantity, given[name], f"the wording of {name}") for name in names}


@dataclass(frozen=True, slots=True)
class Sentence:
    """A template of a user's own, such as "The car {turn} and {speed}", and what it needs.

    Attributes:
        template: The words; `{name}` is a gap.
        gaps: The names of the gaps, each of which it must have once, and no other.

    Raises:
        InvalidConfig: It has others, lacks one, or leaves two side by side.
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
            raise InvalidConfig(f"the gaps of {self.template!r} hold words: they have no format")
        if any(not text for text, name, _, _ in parts[1:] if name is not None):
            raise InvalidConfig(f"two gaps need something between them: {self.template!r}")

    def fill(self, **words: str) -> str:
        """Fills the gaps."""
        return self.template.format(**words)

    def read(self, text: str) -> dict[str, str]:
        """Gives what fills the gaps.

        Raises:
            InvalidPrompt: The text is not of this sentence.
        """
        pattern = "".join(
            re.escape(fixed) + (f"(?P<{name}>.*?)" if name is not None else "")
            for fixed, name, _, _ in Formatter().parse(self.template)
        )
        found = re.fullmatch(pattern, text, re.DOTALL)
        if found is None:
            raise InvalidPrompt(f"{text!r} does not read {self.template!r}")
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
    """Joins words as a list is spoken: "a, b and c"; "" for none."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
