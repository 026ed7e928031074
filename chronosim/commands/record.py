"""Records a reference simulator as episodes, for training and for comparison.

A policy acts, its actions are held as the world model will hold them, and every episode is logged
as the world model's own are. Broken off, the same command goes on where it stopped. Needs the
simulators: pip install 'chronosim[sim]'.

Examples:
    chronosim record episodes=100 output=datasets/carracing
    chronosim record simulator=pusht episodes=100 output=datasets/pusht
    chronosim record episodes=20 seed=900000 policy=lane-follower output=datasets/held-out
"""

from __future__ import annotations

from pathlib import Path

from chronosim.cli.output import make_folder, output_path, same_settings
from chronosim.cli.play import episode_bar, make_policy
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.rollouts import record
from chronosim.settings.commands import Record
from chronosim.simulators.reference import check_clock

_MAY_DIFFER = ("episodes", "output", "seed", "workers")  # from one run on a data set to the next


def run(settings: Record) -> int:
    """Runs the command.

    Returns:
        0; 1 where an episode failed.

    Raises:
        ChronosimError: A setting that cannot work, a missing simulator, or a disk that refuses.
    """
    prompter = settings.prompter.make()
    check_clock(settings.simulator.make(), prompter)  # here: what is missing is one sentence
    policy, dataset = make_policy(settings.policy), output_path(settings.composed)
    if not same_settings(settings.composed, dataset, _MAY_DIFFER):
        make_folder(settings.composed, dataset)
    before = _frames(dataset)
    with episode_bar() as progress:
        done = record(
            settings.simulator.make,
            prompter,
            policy,
            dataset,
            seeds=range(settings.seed, settings.seed + settings.episodes),
            steps=settings.steps,
            workers=settings.workers,
            progress=progress,
        )
    for sentence in done.lost.values():
        print(sentence)
    for seed, sentence in done.failures.items():
        print(f"the episode of seed {seed} failed: {sentence}")
    frames = _frames(dataset) - before
    print(
        f"{dataset} holds {len(list_episodes(dataset))} episodes; {frames:,} frames were "
        f"recorded in {done.seconds:.0f} s, {frames / done.seconds:,.0f} a second"
    )
    return int(bool(done.failures))


def _frames(dataset: Path) -> int:
    """Frames in the finished episodes of a data set, first observations not counted."""
    readers = (EpisodeReader(path) for path in list_episodes(dataset))
    return sum(
        reader.steps + int(reader.column("between_length").sum())
        for reader in readers
        if reader.finished and reader.steps
    )
