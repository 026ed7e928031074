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

from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from omegaconf import DictConfig, OmegaConf

from chronosim.cli.output import holds_nothing, make_folder, output_path
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.errors import InvalidConfig
from chronosim.rollouts.run import seeds_to_make
from chronosim.settings.compose import make_part, whole_number, with_seed
from chronosim.simulators.record import record_dataset
from chronosim.simulators.reference import check_clock

__all__ = ["run"]

_MAY_DIFFER = ("episodes", "output", "seed", "workers")  # from one run on a data set to the next


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, a missing simulator, or a disk that refuses.
    """
    counts = {name: whole_number(config, name, 1) for name in ("episodes", "steps", "workers")}
    seed, prompter = whole_number(config, "seed", 0), make_part(config, "prompter")
    # Made here too, so that what is missing is one sentence here, not one from each worker.
    check_clock(make_part(config, "simulator"), prompter)
    make_part(config, "policy")
    dataset, seeds = output_path(config), range(seed, seed + counts["episodes"])
    _check_same(config, dataset)
    if holds_nothing(dataset):
        make_folder(config, dataset)
    before, began = _frames(dataset), perf_counter()
    record_dataset(
        dataset,
        simulator=partial(make_part, config, "simulator"),
        prompter=prompter,
        policy=partial(_policy, OmegaConf.to_yaml(config)),
        seeds=seeds_to_make(dataset, seeds),
        steps=counts["steps"],
        workers=counts["workers"],
    )
    after, seconds = _frames(dataset), perf_counter() - began
    print(
        f"{dataset} holds {len(list_episodes(dataset))} episodes; {after - before:,} frames were "
        f"recorded in {seconds:.0f} s, {(after - before) / seconds:,.0f} a second"
    )


def _policy(settings: str, seed: int) -> Any:
    """Makes the policy of one episode; a worker process gets the settings as text."""
    return make_part(with_seed(DictConfig(OmegaConf.create(settings)), seed), "policy")


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
