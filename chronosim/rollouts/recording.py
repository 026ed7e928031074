"""Records a reference simulator as episodes named by their seeds, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chronosim.episodes import EpisodeWriter
from chronosim.errors import InvalidAction
from chronosim.policies import Unchunked, as_policy
from chronosim.protocols import Policy, Prompter
from chronosim.rollouts.shards import Map, Progress, Rollouts, Shard, begin_episode, closed, deal
from chronosim.simulators.reference import ReferenceSimulator, check_clock
from chronosim.types import Observation, Step

MakeSimulator = Callable[[], ReferenceSimulator]


def record(
    simulator: MakeSimulator,
    prompter: Prompter,
    policy: Any,
    dataset: str | Path,
    *,
    seeds: Iterable[int],
    steps: int = 60,
    instruction: str = "",
    workers: int = 1,
    map: Map | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Rollouts:
    """Records one episode for each seed, logged as a world model's own are.

    What is finished stays: broken off, the same call goes on. Several may write to one data set.

    Args:
        simulator: Makes a simulator, one for each episode.
        prompter: Words the actions, and keeps the commanded state.
        policy: Who acts; whatever `chronosim.policies.as_policy` takes.
        dataset: The folder of the episodes; made if missing.
        seeds: One episode each, of the simulator and the policy.
        steps: Held actions in an episode, at most.
        instruction: What the policy is told to do, in words.
        workers: Processes of this machine that share the seeds, >= 1.
        map: Deals the seeds out instead; what is passed to it is pickled. None: it does not.
        progress: Called after each step; where others record, after each episode.

    Returns:
        What came of it; one episode that fails does not end the others.

    Raises:
        InvalidConfig: The prompter reckons with another length of a step than the simulator's, or
            an episode that is there was made otherwise.
        InvalidEpisode: One that is there was cut off and repaired.
        EpisodeWriteError: The disk refuses.
    """
    check_clock(made := simulator(), prompter)
    acting = as_policy(policy)
    return deal(
        partial(record_shard, simulator, prompter, acting, Path(dataset), steps, instruction),
        Path(dataset),
        seeds,
        about=_about(made, prompter, acting),
        shards=map,
        workers=workers,
        size=1,
        progress=progress,
    )


def record_shard(
    simulator: MakeSimulator,
    prompter: Prompter,
    policy: Policy,
    dataset: Path,
    steps: int,
    instruction: str,
    seeds: Sequence[int],
    *,
    progress: Callable[[Shard], None] | None = None,
) -> Shard:
    """Records the episodes of some seeds: what `record` deals out. Its arguments are `record`'s."""
    shard, acting = Shard(), Unchunked(policy)
    for seed in seeds:
        made = simulator()
        frame, values = made.reset(seed)
        first = Observation(frame, prompter.begin(values))
        about = {**_about(made, prompter, policy), "seed": seed}
        write = partial(EpisodeWriter, first=first, about=about, rivals=True)
        writer = begin_episode(dataset, seed, shard, write)
        if writer is None:
            continue
        acting.begin({0: seed}, instruction=instruction)
        with closed(seed, shard):
            try:
                for step in _taken(made, prompter, acting, first, seed, steps):
                    writer.append(step)
                    shard.steps += 1
                    if progress is not None:
                        progress(shard)
                writer.close()
                shard.made.append(seed)
            except InvalidAction as error:
                shard.give_up(seed, writer, error)
        if progress is not None:
            progress(shard)
    return shard


def _taken(
    simulator: ReferenceSimulator,
    prompter: Prompter,
    policy: Policy,
    first: Observation,
    seed: int,
    steps: int,
) -> Iterator[Step]:
    """The steps of one episode."""
    before = first
    for index in range(steps):
        [action] = policy.act([before], [0])
        text, state = prompter(before, action)
        prediction, reward, ended = simulator.step(action)
        assert prediction is not None
        after = Observation(prediction.frame, state, index + 1)
        cut = index + 1 == steps and not ended
        yield Step(before, action, text, seed, prediction, after, reward, ended, cut)
        if ended:
            return
        before = after


def _about(simulator: ReferenceSimulator, prompter: Prompter, policy: Policy) -> dict[str, Any]:
    """What an episode says of itself, but for its seed."""
    return {
        "source": simulator.source,
        "version": version("chronosim"),
        "synthetic": False,
        "hold": simulator.hold,
        "stride": simulator.stride,
        "seconds_per_step": simulator.seconds_per_step,
        "prompter": repr(prompter),
        "policy": policy.identity["name"],
    }
