"""A signed quantity in words: how far, how fast, how much, and which way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chronosim.adapters.prompters.checks import check_wording, make_value
from chronosim.errors import InvalidConfig

__all__ = ["Quantity", "make_quantities"]

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
