"""A sentence with named gaps: filled, and read again."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from string import Formatter

from chronosim.errors import InvalidConfig, InvalidPrompt

__all__ = ["Sentence", "listed"]


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


def listed(parts: Sequence[str]) -> str:
    """Joins words as a list is spoken: "a, b and c"; "" for none."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
