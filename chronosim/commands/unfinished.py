"""What a broken-off run left half done in a data set whose episodes are named by their seeds."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from chronosim.episodes import EpisodeReader
from chronosim.episodes.whole import check_whole

__all__ = ["drop_unfinished", "episode_name"]


def episode_name(seed: int) -> str:
    """Names an episode by its seed: `0000007`."""
    return f"{seed:07d}"


def drop_unfinished(dataset: Path, seeds: Iterable[int]) -> list[int]:
    """Removes what a broken-off run left half done.

    Args:
        dataset: The folder of the episodes; nobody else is writing to it.
        seeds: Of the wanted episodes.

    Returns:
        The seeds that are still to be made.

    Raises:
        InvalidEpisode: One was cut off and repaired: it is no whole episode, and not ours to
            remove. Nothing was removed.
    """
    waiting, names = [], {episode_name(seed): seed for seed in seeds}
    for name in names:
        if (dataset / name).exists():
            check_whole(EpisodeReader(dataset / name))
    for draft in list(dataset.glob(".*")):  # `.0000007.<something>`: not yet renamed to its name
        if draft.name[1:].partition(".")[0] in names:
            shutil.rmtree(draft)
    for name, seed in names.items():
        path = dataset / name
        if not path.exists():
            waiting.append(seed)
        elif not EpisodeReader(path).finished:
            shutil.rmtree(path)
            waiting.append(seed)
    return waiting
