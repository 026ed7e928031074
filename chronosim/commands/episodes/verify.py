"""Checks that episodes are whole: every chunk there and as it was written, every length right.

Each damage is told by its kind and place; the exit status is 1 where there is any. What is whole of
a damaged episode is kept by chronosim episodes repair. A reward or state that is no number is told,
but no damage: it was written so.

Examples:
    chronosim episodes verify runs/thousand
    chronosim episodes verify datasets/carracing/0000007
    chronosim episodes verify path=datasets/carracing
"""

from __future__ import annotations

from tqdm import tqdm

from chronosim.cli.output import episodes_at
from chronosim.episodes.verify import verify
from chronosim.settings.commands import EpisodesVerify


def run(settings: EpisodesVerify) -> int:
    """Runs the command.

    Returns:
        0; 1 where something is damaged.

    Raises:
        ChronosimError: No episode there.
    """
    paths = episodes_at(settings.path)
    damaged = 0
    for path in tqdm(paths, unit="episode", leave=False):
        damages = verify(path)
        damaged += not all(damage.harmless for damage in damages)
        for damage in damages:
            tqdm.write(f"{damage.kind}: {damage}")
    print(f"{len(paths) - damaged} of {len(paths)} episodes are whole")
    return int(damaged > 0)
