"""What a gripper does, in words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chronosim.errors import InvalidConfig, InvalidPrompt

__all__ = ["Gripper"]

_STEP = 5  # percent: finer openings are not told apart in words


@dataclass(frozen=True, slots=True)
class Gripper:
    """Words how far a gripper opens or closes.

    Attributes:
        open: It opens as far as it goes: "opens it".
        close: It closes: "closes it".
        keep: It stays as it is: "keeps it as it is".
        part: It opens or closes to a part, with a `{}` for percent: "opens it to {}%".

    Raises:
        InvalidConfig: `part` has not exactly one `{}`, or two are worded alike.
    """

    open: str
    close: str
    keep: str
    part: str

    def __post_init__(self) -> None:
        if self.part.count("{}") != 1:
            raise InvalidConfig(f"a part of a gripper's way needs one {{}}, not {self.part!r}")
        if len({self.open, self.close, self.keep, self.part}) < 4:
            raise InvalidConfig("a gripper's words must be told apart: open, close, keep and part")

    def say(self, before: float, after: float) -> str:
        """Words the way from one opening to another, both 0 (closed) to 1 (open)."""
        was, is_ = _percent(before), _percent(after)
        if was == is_:
            return self.keep
        if is_ in (0, 100):
            return self.open if is_ else self.close
        return self.part.format(is_)

    def read(self, before: float, text: str) -> float:
        """Gives the opening after it, 0 to 1.

        Raises:
            InvalidPrompt: It is none of these words.
        """
        known = {self.open: 1.0, self.close: 0.0, self.keep: before}
        if text in known:
            return known[text]
        found = re.fullmatch(r"(\d+)".join(map(re.escape, self.part.split("{}"))), text)
        if found is None:
            raise InvalidPrompt(f"{text!r} is nothing that the gripper does")
        return int(found[1]) / 100


def _percent(opening: float) -> int:
    return round(opening * 100 / _STEP) * _STEP
