"""Many episodes of a policy, several at a time: each named by its seed, none lost, none doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.episodes import EpisodeWriter
from chronosim.episodes.layout import Trajectories
from chronosim.episodes.writer import check_trajectories
from chronosim.errors import InvalidAction, InvalidConfig, InvalidPrompt
from chronosim.policies import Unchunked, as_policy
from chronosim.protocols import Policy
from chronosim.rollouts.shards import Map, Progress, Rollouts, Shard, begin_episode, closed, deal
from chronosim.seeds import generator, noise_seed
from chronosim.types import Guard, Observation, Step
from chronosim.world import World

About = Mapping[str, Any] | Callable[[int], Mapping[str, Any]]
"""What else to say of episodes, in JSON values; or what makes it for an episode's seed."""

_PER_ROW = 4  # episodes of a row in a shard, so that few rows stand still at its end


def run(
    world: World,
    policy: Any,
    dataset: str | Path,
    *,
    seeds: Iterable[int],
    horizon: int | None = None,
    guard: Guard | None = None,
    num_envs: int = 1,
    trajectories: Trajectories = "lossless",
    clip_actions: bool = False,
    about: About | None = None,
    workers: int = 1,
    map: Map | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Rollouts:
    """Rolls one episode out for each seed, and logs every step of it while it happens.

    An episode is the same whatever runs beside it (exactly so where the model answers a prompt
    alone as in a call). What is finished stays: broken off, the same call goes on. Runs with seeds
    of their own may write to one data set at the same time.

    Args:
        world: Where it happens.
        policy: Who acts; whatever `chronosim.policies.as_policy` takes. Made once for all episodes.
        dataset: The folder of the episodes, each named by its seed; made if missing.
        seeds: One episode each: of the scenario's draw, the model's noise and the policy's.
        horizon: Steps after which an episode is cut; None: the world's.
        guard: May cut an episode whose frame has left the world; None: the world's.
        num_envs: Episodes at a time, >= 1: one call of the model moves them all by a step.
        trajectories: How the frames between two observations are kept, as `EpisodeWriter` says.
        clip_actions: Whether numbers that lie out of the action space are brought to its bounds;
            False: they end their episode, which is given up.
        about: What else to say of the episodes.
        workers: Processes of this machine that share the seeds, >= 1, each with its own copy of
            world and policy and a share of the CPUs; both are pickled.
        map: Deals shards of the seeds out instead, such as a cluster's; what is passed to it is
            pickled, and `multiprocessing.Pool.map` is one. None: no shards.
        progress: Called after each call of the model; where others roll, after each shard.

    Returns:
        What came of it; one episode that fails does not end the others.

    Raises:
        InvalidConfig: There is no horizon or no row; or one that is there was made otherwise.
        InvalidEpisode: One that is there was cut off and repaired.
        EpisodeWriteError: The disk refuses.
        WorkerLost: Processes are killed again and again; what was finished stays.
        ChronosimError: As the policy and the model.
    """
    world = replace(world, horizon=horizon or world.horizon, guard=guard or world.guard)
    if world.horizon is None:
        raise InvalidConfig("a rollout needs a horizon, or it may never end: pass horizon=")
    if num_envs < 1:
        raise InvalidConfig(f"a rollout needs 1 row or more, not num_envs={num_envs}")
    acting = as_policy(policy)
    made_by = {**world.about(seed=None), "policy": acting.identity["name"]}
    return deal(
        partial(
            roll,
            world,
            acting,
            Path(dataset),
            num_envs=num_envs,
            trajectories=check_trajectories(trajectories),
            clip_actions=clip_actions,
            about=about,
        ),
        Path(dataset),
        seeds,
        about=made_by,
        shards=map,
        workers=workers,
        size=num_envs * _PER_ROW,
        progress=progress,
    )


def roll(
    world: World,
    policy: Policy,
    dataset: Path,
    seeds: Sequence[int],
    *,
    num_envs: int,
    trajectories: Trajectories = "lossless",
    clip_actions: bool = False,
    about: About | None = None,
    progress: Callable[[Shard], None] | None = None,
) -> Shard:
    """Makes the episodes of some seeds: what `run` deals out. Its arguments are `run`'s."""
    rows = _Rows(world, Unchunked(policy), dataset, trajectories, clip_actions, about)
    queue = list(reversed(seeds))
    while True:
        free = [row for row in range(num_envs) if row not in rows.going]
        rows.begin({row: queue.pop() for row in free[: len(queue)]})
        if not rows.going and not queue:
            return rows.shard
        rows.step()
        if progress is not None:
            progress(rows.shard)


@dataclass(slots=True, eq=False)
class _Row:
    """An episode that is going on."""

    seed: int
    noise: int
    observation: Observation
    writer: EpisodeWriter


class _Rows:
    """Episodes side by side, each in a row; a row that has none costs nothing."""

    def __init__(
        self,
        world: World,
        policy: Policy,
        dataset: Path,
        trajectories: Trajectories,
        clip_actions: bool,
        about: About | None,
    ) -> None:
        self._world, self._policy, self._dataset = world, policy, dataset
        self._trajectories, self._clips, self._about = trajectories, clip_actions, about
        self.going: dict[int, _Row] = {}
        self.shard = Shard()

    def begin(self, seeds: Mapping[int, int]) -> None:
        """Begins an episode in some rows."""
        for row, seed in seeds.items():
            first, noise = self._world.begin(generator(seed))
            write = partial(
                EpisodeWriter,
                first=first,
                about=self._told(seed),
                trajectories=self._trajectories,
                rivals=True,
            )
            writer = begin_episode(self._dataset, seed, self.shard, write)
            if writer is not None:
                self.going[row] = _Row(seed, noise, first, writer)
        begun = {row: seed for row, seed in seeds.items() if row in self.going}
        if begun:
            self._policy.begin(begun, instruction=self._world.instruction)

    def step(self) -> None:
        """Takes a step in each row that is going on; those that end are free again."""
        rows = list(self.going)
        seen = [_handed_out(self.going[row].observation) for row in rows]
        answers = self._policy.act(seen, rows) if rows else []
        space = self._world.prompter.action_space
        actions = {
            row: _clipped(space, action) if self._clips else action
            for row, action in zip(rows, answers, strict=True)
        }
        for row, step in self._taken(actions).items():
            self._log(self.going.pop(row), row, step)

    def _taken(self, actions: Mapping[int, Any]) -> dict[int, Step]:
        """Takes actions by one call of the model; what it refuses, it is asked for one by one."""
        try:
            return dict(zip(actions, self._advance(actions), strict=True))
        except (InvalidAction, InvalidPrompt):
            taken: dict[int, Step] = {}
            for row, action in actions.items():
                try:
                    [taken[row]] = self._advance({row: action})
                except (InvalidAction, InvalidPrompt) as error:
                    given_up = self.going.pop(row)
                    self.shard.give_up(given_up.seed, given_up.writer, error)
            return taken

    def _advance(self, actions: Mapping[int, Any]) -> list[Step]:
        rows = [self.going[row] for row in actions]
        return self._world.advance(
            [row.observation for row in rows],
            list(actions.values()),
            seeds=[noise_seed(row.noise, row.observation.step) for row in rows],
        )

    def _log(self, row: _Row, number: int, step: Step) -> None:
        with closed(row.seed, self.shard):
            try:
                row.writer.append(step)
            except InvalidAction as error:  # of another kind than those before
                self.shard.give_up(row.seed, row.writer, error)
                return
            self.shard.steps += 1
            if not step.ended:
                row.observation = step.after
                self.going[number] = row
                return
            row.writer.close()
            self.shard.made.append(row.seed)

    def _told(self, seed: int) -> dict[str, Any]:
        """What an episode says of itself."""
        name, *rest = sorted(self._policy.identity, key=lambda key: key != "name")
        who: dict[str, Any] = {"policy": self._policy.identity[name]}
        if rest:
            who["policy_identity"] = dict(self._policy.identity)
        more = self._about(seed) if callable(self._about) else self._about or {}
        return {**self._world.about(seed=seed), **who, **more}


def _handed_out(observation: Observation) -> Observation:
    """A copy, for a policy may write into what it is shown."""
    return Observation(observation.frame.copy(), observation.state.copy(), observation.step)


def _clipped(space: gym.Space[Any], action: Any) -> Any:
    """An action within the bounds of its space; one that is of another kind is left as it is."""
    if not isinstance(space, gym.spaces.Box):
        return action
    values = np.asarray(action)
    if values.shape != space.shape or values.dtype.kind not in "fiu":
        return action
    return np.clip(values, space.low, space.high).astype(space.dtype)
