"""Wrappers: every episode logged to disk while it happens; the bare frame as observation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym

from chronosim.envs.chrono_env import DictObservation
from chronosim.episodes import EpisodeWriter
from chronosim.episodes.layout import Trajectories
from chronosim.episodes.place import draft_of
from chronosim.errors import EpisodeExists, InvalidConfig, ResetNeeded
from chronosim.types import Frame


class RecordEpisodes(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Writes each episode of a `ChronoEnv` as a folder `0000000`, `0000001`, ... of a data set.

    Each step is on disk before `step` returns, in a draft beside the episode, where `EpisodeReader`
    finds it by its name. An episode is finished, and gets its name, by its end, by `reset` or by
    `close`. A fork goes on in an episode of its own, which names the one it comes from.

    Args:
        env: A `ChronoEnv`, wrapped or not; a `TimeLimit` beneath is logged as a truncation.
        folder: The data set; made if missing. Episodes in it are kept.
        trajectories: How the frames between two observations are kept, as `EpisodeWriter` says.
        about: What else to say of each episode (the `config` it was made by, the `policy` ...), in
            JSON values.

    Attributes:
        folder: The data set.
        trajectories: How the frames between two observations are kept.

    Raises:
        InvalidConfig: Beneath the wrappers is no chronosim environment.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        folder: str | Path,
        *,
        trajectories: Trajectories = "lossless",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self._told = dict(about or {})
        gym.utils.RecordConstructorArgs.__init__(
            self, folder=str(folder), trajectories=trajectories, about=self._told
        )
        gym.Wrapper.__init__(self, env)
        if not hasattr(env.unwrapped, "world"):
            raise InvalidConfig(f"only a chronosim environment can be recorded, not {env}")
        self.folder = Path(folder)
        self.trajectories = trajectories
        self._branches = 0
        self._writer: EpisodeWriter | None = None
        self._seed: int | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Finishes the episode that is open, if any, and begins the next.

        Raises:
            EpisodeWriteError: The disk refuses.
        """
        self._finish()
        begun = self.env.reset(seed=seed, options=options)
        self._seed, self._branches = seed, 0
        self._writer = self._open(lineage=None)
        return begun

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Takes a step and logs it, with how long the world took to answer.

        Raises:
            ResetNeeded: Before `reset`, after the episode's end, or after the disk refused a step.
            EpisodeWriteError: The disk refuses; the steps before this one stay readable, and the
                episode on disk ends with them.
        """
        if self._writer is None:
            raise ResetNeeded("no episode is being recorded: call reset before step")
        observed, reward, terminated, truncated, info = self.env.step(action)
        self._log(float(reward), terminated, truncated)
        if terminated or truncated:
            self._finish()
        return observed, reward, terminated, truncated, info

    def close(self) -> None:
        """Finishes the episode that is open, if any, and closes the environment.

        Raises:
            EpisodeWriteError: The disk refuses.
        """
        self._finish()
        self.env.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> RecordEpisodes:
        copied = type(self)(
            copy.deepcopy(self.env, memo),
            self.folder,
            trajectories=self.trajectories,
            about=self._told,
        )
        memo[id(self)] = copied
        if self._writer is not None:
            copied._seed = self._seed
            self._branches += 1
            parent = {"episode": self._writer.path.name, "step": self._writer.steps}
            copied._writer = copied._open(lineage={**parent, "branch": self._branches})
        return copied

    def _log(self, reward: float, terminated: bool, truncated: bool) -> None:
        """Logs what reached the world, with what wrappers beneath made of its reward and end."""
        writer, self._writer = self._writer, None  # a refused step leaves a gap: nothing may follow
        assert writer is not None
        step = self._base.last_step
        writer.append(replace(step, reward=reward, terminated=terminated, truncated=truncated))
        self._writer = writer

    def _finish(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _open(self, lineage: dict[str, Any] | None) -> EpisodeWriter:
        """Begins an episode under the next free number; other processes may be taking some too."""
        for number in count():
            path = self.folder / f"{number:07d}"
            if not path.exists() and not draft_of(path).exists():
                try:
                    return self._new(path, lineage)
                except EpisodeExists:
                    continue
        raise AssertionError("unreachable: there is always a next number")

    def _new(self, path: Path, lineage: dict[str, Any] | None) -> EpisodeWriter:
        base = self._base
        about = base.world.about(seed=self._seed, lineage=lineage)
        return EpisodeWriter(
            path, base.observation, {**about, **self._told}, trajectories=self.trajectories
        )

    @property
    def _base(self) -> Any:
        return self.env.unwrapped


class FrameObservation(
    gym.ObservationWrapper[Frame, Any, DictObservation], gym.utils.RecordConstructorArgs
):
    """Hands out only the frame, uint8 (H, W, 3), in place of the Dict.

    Args:
        env: An environment whose observation is a Dict with an `image`.

    Raises:
        InvalidConfig: It is not.
    """

    def __init__(self, env: gym.Env[DictObservation, Any]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        space = env.observation_space
        if not isinstance(space, gym.spaces.Dict) or "image" not in space.spaces:
            raise InvalidConfig(f"FrameObservation needs a Dict with an image, not {space}")
        self.observation_space = space["image"]

    def observation(self, observation: DictObservation) -> Frame:
        """Gives the frame."""
        return observation["image"]
