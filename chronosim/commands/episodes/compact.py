"""Packs finished episodes into few files, for training to read fast; nothing in them changes.

Also brings episodes of an older layout up to date. Episodes that are not finished are left alone,
and so are damaged ones: the exit status is 1 then.

Examples:
    chronosim episodes compact runs/thousand
    chronosim episodes compact datasets/carracing
    chronosim episodes compact path=datasets/carracing/0000007
"""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from chronosim.cli.output import episodes_at
from chronosim.cli.terminal import size
from chronosim.episodes import EpisodeReader
from chronosim.episodes.compaction import compact
from chronosim.episodes.summary import Files, files
from chronosim.errors import InvalidEpisode
from chronosim.settings.commands import EpisodesCompact


def run(settings: EpisodesCompact) -> int:
    """Runs the command.

    Returns:
        0; 1 where an episode is damaged.

    Raises:
        ChronosimError: No episode there, or a disk that refuses.
    """
    paths = episodes_at(settings.path)
    before = [files(path) for path in paths]
    packed = unfinished = damaged = 0
    for path in tqdm(paths, unit="episode", leave=False):
        try:
            if EpisodeReader(path).finished:
                packed += compact(path)
            else:
                unfinished += 1
        except InvalidEpisode as error:
            tqdm.write(str(error))
            damaged += 1
    print(f"{packed} of {len(paths)} episodes were packed", end="")
    print(f"; {unfinished} are not finished" if unfinished else "", end="")
    print(f"; {damaged} are damaged" if damaged else "")
    now = [files(path) for path in paths]
    print(f"{_extent(before)} before, {_extent(now)} now")
    return int(damaged > 0)


def _extent(found: Sequence[Files]) -> str:
    return f"{sum(one.count for one in found):,} files of {size(sum(one.size for one in found))}"
