"""Gathers a finished episode, many small files as it was written, in a few that are read faster."""

from __future__ import annotations

from pathlib import Path

from upath import UPath

from chronosim.episodes.catalogue import read_attributes
from chronosim.episodes.place import as_place, remove
from chronosim.episodes.reader import EpisodeReader
from chronosim.episodes.rewrite import COMPACT, leftovers, rewrite
from chronosim.episodes.schema1 import StoredSchema1
from chronosim.episodes.stored import Content, Stored
from chronosim.errors import InvalidEpisode

__all__ = ["compact"]


def compact(path: str | Path | UPath) -> bool:
    """Rewrites a finished episode in few files, in the present schema.

    The new arrays are written beside the old, read back and compared; then one replacement of the
    attributes points to them, and the old are removed. Killed at any moment, the episode is whole.

    Args:
        path: The episode.

    Returns:
        Whether there was something to do.

    Raises:
        EpisodeNotFound: There is no episode.
        InvalidEpisode: It is not finished (its writer may be at work), or it is damaged.
        EpisodeWriteError: The disk refuses; the episode is as it was.
    """
    place = as_place(path)
    reader = EpisodeReader(place)
    if not reader.finished:
        raise InvalidEpisode(
            f"{place} is not finished: let its writer close it, or, if that is dead, finish it "
            "with chronosim episodes repair"
        )
    attributes = read_attributes(place)
    if reader.compacted:
        for old in leftovers(place, attributes["data"]):
            if not old.name.startswith(COMPACT):
                remove(old)  # killed at its last moment, a compaction left the old arrays
        return False
    content: Content = (StoredSchema1 if reader.schema == 1 else Stored)(place, attributes)
    rewrite(place, content, {"trajectories": reader.trajectories, "about": reader.about})
    return True
