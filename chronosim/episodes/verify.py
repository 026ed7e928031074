"""Reads all of an episode and names each kind of damage."""

from __future__ import annotations

from pathlib import Path

from upath import UPath

from chronosim.episodes.damage import Damage
from chronosim.episodes.place import as_place
from chronosim.episodes.survey import survey

__all__ = ["Damage", "verify"]


def verify(path: str | Path | UPath) -> list[Damage]:
    """Reads all of an episode and names what is wrong with it.

    Args:
        path: The episode.

    Returns:
        The damages; none if the episode is whole. Schema 1 has no checksums: there, a chunk that
        was changed is found only if it cannot be decoded any more.

    Raises:
        EpisodeNotFound: There is no episode.
    """
    return survey(as_place(path)).damages
