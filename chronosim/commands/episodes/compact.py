"""Packs finished episodes into few files, for training to read fast; nothing in them changes.

Also brings episodes of an older layout up to date. Episodes that are not finished are left alone.

Examples:
    chronosim episodes compact runs/thousand
    chronosim episodes compact datasets/carracing
    chronosim episodes compact path=datasets/carracing/0000007
"""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig
from tqdm import tqdm

from chronosim.commands.facts import Files, files
from chronosim.commands.finding import episodes_at
from chronosim.commands.terminal import size
from chronosim.episodes import EpisodeReader
from chronosim.episodes.compact import compact

__all__ = ["run"]


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: No episode there, a damaged one, or a disk that refuses.
    """
    paths = episodes_at(config)
    before = [files(path) for path in paths]
    packed = unfinished = 0
    for path in tqdm(paths, unit="episode", leave=False):
        if EpisodeReader(path).finished:
            packed += compact(path)
        else:
            unfinished += 1
    print(f"{packed} of {len(paths)} episodes were packed", end="")
    print(f"; {unfinished} are not finished" if unfinished else "")
    now = [files(path) for path in paths]
    print(f"{_extent(before)} before, {_extent(now)} now")


def _extent(found: Sequence[Files]) -> str:
    return f"{sum(one.count for one in found):,} files of {size(sum(one.size for one in found))}"
