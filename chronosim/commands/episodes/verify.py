"""Checks that episodes are whole: every chunk there and as it was written, every length right.

Each damage is told by its kind and place; the exit status is 1 where there is any. What is damaged
can be mended by chronosim episodes repair.

Examples:
    chronosim episodes verify runs/thousand
    chronosim episodes verify datasets/carracing/0000007
    chronosim episodes verify path=datasets/carracing
"""

from __future__ import annotations

from omegaconf import DictConfig
from tqdm import tqdm

from chronosim.commands.finding import episodes_at
from chronosim.commands.terminal import table
from chronosim.episodes.verify import verify

__all__ = ["run"]


def run(config: DictConfig) -> int:
    """Runs the command.

    Returns:
        0; 1 where something is damaged.

    Raises:
        ChronosimError: No episode there.
    """
    paths = episodes_at(config)
    found = [
        (path.name, damage.kind, damage.sentence)
        for path in tqdm(paths, unit="episode", leave=False)
        for damage in verify(path)
    ]
    if found:
        print(table(("episode", "damage", "what is wrong"), found), end="\n\n")
    damaged = len({name for name, _, _ in found})
    print(f"{len(paths) - damaged} of {len(paths)} episodes are whole")
    return int(damaged > 0)
