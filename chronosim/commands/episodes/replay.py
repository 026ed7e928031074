"""Runs logged episodes again from their own settings, and says where they come out differently.

The environment is made as the log says, reset with the episode's seed, and given its actions; the
words, frames, states, rewards and the end are compared step by step. On a processor like that of
the log all must be alike; where rounding differs (a GPU), give a tolerance. Of trajectories kept
as video the outcomes are compared, and the lengths. The exit status is 1 after a difference, or
where an episode is damaged or does not say how it was made; the others are run all the same. A log
may only make what stands on a list: what would read other files, ask an address or run other code
is refused; with trust=true it is said first, and done.

Examples:
    chronosim episodes replay runs/thousand/episodes/0000003
    chronosim episodes replay runs/thousand tolerance=2
    chronosim episodes replay path=runs/thousand from_log=true
"""

from __future__ import annotations

from functools import partial

from chronosim.cli.output import episodes_at
from chronosim.envs.replay import run_again
from chronosim.settings.commands import EpisodesReplay


def run(settings: EpisodesReplay) -> int:
    """Runs the command.

    Returns:
        0; 1 where an episode came out differently, or could not be run again.

    Raises:
        ChronosimError: No episode there, or parts that cannot be made.
    """
    paths, alike, empty = episodes_at(settings.path), 0, 0
    for found in run_again(
        paths,
        tolerance=settings.tolerance,
        from_log=settings.from_log,
        trust=settings.trust,
        say=partial(print, flush=True),
    ):
        if found.problem is not None:
            print(found.problem)
        elif found.steps:
            print(f"{found.path.name}: {found.steps} steps alike")
            alike += 1
        else:
            print(f"{found.path.name}: no steps to compare")
            empty += 1
    left = f"; {empty} had no steps to compare" if empty else ""
    print(f"{alike} of {len(paths)} episodes came out as they were logged{left}")
    return int(alike + empty < len(paths))
