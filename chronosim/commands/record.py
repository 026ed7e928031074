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

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from chronosim.cli.output import holds_nothing, make_folder, output_path
from chronosim.cli.play import episode_bar, make_policy
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.errors import InvalidConfig
from chronosim.rollouts import processes, record
from chronosim.settings.commands import Record
from chronosim.settings.parts import with_seed
from chronosim.simulators.reference import check_clock

__all__ = ["run"]

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
    _check_same(settings.composed, dataset)
    if holds_nothing(dataset):
        make_folder(settings.composed, dataset)
    before = _frames(dataset)
    several = processes(settings.workers) if settings.workers > 1 else nullcontext()
    with several as workers, episode_bar() as progress:
        done = record(
            settings.simulator.make,
            prompter,
            policy,
            dataset,
            seeds=range(settings.seed, settings.seed + settings.episodes),
            steps=settings.steps,
            map=workers,
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


def _check_same(config: DictConfig, dataset: Path) -> None:
    """Checks that a data set, if there is one, was recorded by the same settings."""
    if holds_nothing(dataset):
        return
    made_by = dataset / "config.yaml"
    if not made_by.is_file():
        raise InvalidConfig(f"{dataset} is no data set of chronosim record: choose another output=")
    theirs = _flat(OmegaConf.load(made_by))
    # A policy's seed follows the run's, which may differ.
    ours = _flat(with_seed(config, theirs.get("seed", config.seed)))
    for name in sorted(set(theirs) | set(ours)):
        if name not in _MAY_DIFFER and theirs.get(name) != ours.get(name):
            raise InvalidConfig(
                f"{dataset} was recorded with {name}={theirs.get(name)}, not {ours.get(name)}: "
                "use the same settings or another output="
            )


def _flat(config: Any) -> dict[str, Any]:
    """The settings by their full names, as one gives them on the command line."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, DictConfig):
            found |= {f"{name}.{inner}": one for inner, one in _flat(value).items()}
        else:
            found[str(name)] = value
    return found


def _frames(dataset: Path) -> int:
    """Frames in the finished episodes of a data set, first observations not counted."""
    readers = (EpisodeReader(path) for path in list_episodes(dataset))
    return sum(
        reader.steps + int(reader.column("between_length").sum())
        for reader in readers
        if reader.finished and reader.steps
    )
