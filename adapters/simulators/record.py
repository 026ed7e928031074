"""Records a reference simulator as episodes, in parallel, and goes on where it was broken off."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from chronosim.episodes import EpisodeReader, EpisodeWriter, Step
from chronosim.episodes.compaction import check_whole
from chronosim.policies import policy_name
from chronosim.protocols import Prompter
from chronosim.simulators.reference import ReferenceSimulator
from chronosim.types import Observation

__all__ = ["record_dataset", "record_episode"]

Policy = Callable[[Observation], Any]


def record_episode(
    path: Path,
    *,
    simulator: ReferenceSimulator,
    prompter: Prompter,
    policy: Policy,
    seed: int,
    steps: int,
) -> None:
    """Records one episode; one that is there is left alone.

    Args:
        path: The episode's folder.
        simulator: Where it happens.
        prompter: Words the actions.
        policy: Chooses the actions from observations.
        seed: Seed of the simulator.
        steps: Held actions at most.

    Raises:
        InvalidEpisode: What is at `path` was cut off and repaired: it is no whole episode.
        EpisodeExists: Another attempt at it was finished first.
        EpisodeWriteError: The disk refuses.
    """
    if path.exists():
        check_whole(EpisodeReader(path))
        return
    frame, values = simulator.reset(seed)
    observation = Observation(frame, prompter.begin(values))
    about = {
        "source": simulator.source,
        "version": version("chronosim"),
        "synthetic": False,
        "seed": seed,
        "hold": simulator.hold,
        "stride": simulator.stride,
        "seconds_per_step": simulator.seconds_per_step,
        "prompter": repr(prompter),
        "policy": policy_name(policy),
    }
    with EpisodeWriter(path, observation, about, rivals=True) as writer:
        for index in range(steps):
            action = policy(observation)
            text, state = prompter(observation, action)
            prediction, reward, ended = simulator.step(action)
            assert prediction is not None
            before, observation = observation, Observation(prediction.frame, state, index + 1)
            cut = index + 1 == steps and not ended
            writer.append(
                Step(before, action, text, seed, prediction, observation, reward, ended, cut)
            )
            if ended:
                break


def record_dataset(
    dataset: Path,
    *,
    simulator: Callable[[], ReferenceSimulator],
    prompter: Prompter,
    policy: Callable[[int], Policy],
    seeds: Iterable[int],
    steps: int,
    workers: int,
) -> None:
    """Records one episode per seed into `dataset`, each named by its seed.

    Args:
        dataset: Folder of the data set; made if missing. Finished episodes in it are kept.
        simulator: Makes a simulator (one per episode).
        prompter: Words the actions.
        policy: Makes a policy from a seed.
        seeds: One episode each.
        steps: Held actions per episode at most.
        workers: Processes.

    Raises:
        InvalidEpisode: An episode there was cut off and repaired.
        EpisodeWriteError: The disk refuses.
    """
    job = partial(_record_seed, dataset, simulator, prompter, policy, steps)
    wanted = list(seeds)
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers) as pool:
        for _ in tqdm(pool.imap_unordered(job, wanted), total=len(wanted), unit="episode"):
            pass


def _record_seed(
    dataset: Path,
    simulator: Callable[[], ReferenceSimulator],
    prompter: Prompter,
    policy: Callable[[int], Policy],
    steps: int,
    seed: int,
) -> None:
    record_episode(
        dataset / f"{seed:07d}",
        simulator=simulator(),
        prompter=prompter,
        policy=policy(seed),
        seed=seed,
        steps=steps,
    )
