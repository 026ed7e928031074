"""One thing that is wrong with an episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Damage", "Kind"]

Kind = Literal[
    "unreadable",
    "schema",
    "unfinished",
    "missing chunk",
    "checksum",
    "length",
    "nan",
    "undecodable",
    "leftover",
]


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong with an episode.

    Attributes:
        kind: `unreadable` (what it says of itself, or of an array, cannot be read), `schema` (from
            the future), `unfinished` (still written, or broken off), `missing chunk`, `checksum`,
            `length` (a shape against the committed length), `nan`, `undecodable`, or `leftover` (of
            something broken off; it costs only space).
        place: Where: a file, or an array and its first row concerned.
        sentence: What is wrong.
    """

    kind: Kind
    place: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence
