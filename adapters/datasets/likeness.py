"""What the episodes of one data set share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chronosim.errors import InvalidEpisode

__all__ = ["Likeness"]


@dataclass(slots=True)
class Likeness:
    """Holds episodes to the first of them.

    Attributes:
        first: Each trait as it was first met, and the episode that had it.
    """

    first: dict[str, tuple[Any, str]] = field(default_factory=dict)

    def check(self, name: str, traits: Mapping[str, Any], advice: str) -> None:
        """Compares an episode with the first one.

        Args:
            name: What it is called.
            traits: What it is like.
            advice: What would be right, for the end of the sentence.

        Raises:
            InvalidEpisode: It is unlike the first one.
        """
        for trait, ours in traits.items():
            theirs, other = self.first.setdefault(trait, (ours, name))
            if ours != theirs:
                raise InvalidEpisode(
                    f"{name} has {trait} {ours}, but {other} has {theirs}: {advice}"
                )
