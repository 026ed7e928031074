from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest

import chronosim
from chronosim.envs.wrappers import RecordEpisodes
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.errors import EpisodeWriteError, InvalidConfig, ResetNeeded
from chronosim.testing import ReplayModel
from chronosim.whatif import read_moment
from chronosim.world import World

Make = Callable[..., gym.Env[Any, Any]]
FullDisk = Callable[[int], AbstractContextManager[None]]
STRAIGHT = np.array([0.0, 0.2, 0.0], np.float32)


def test_round_trip(made: Make, tmp_path: Path) -> None:
    env = RecordEpisodes(made(horizon=3), tmp_path / "set")
    observation, _ = env.reset(seed=5)
    seen: list[Any] = [observation]
    steps = []
    for _ in range(3):
        observation, *step = env.step(STRAIGHT)
        seen.append(observation)
        steps.append(cast("tuple[float, bool, bool, dict[str, Any]]", step))
    [path] = list_episodes(tmp_path / "set")
    reader = EpisodeReader(path)  # finished by its end, though the environment is still open
    assert reader.finished
    assert np.array_equal(reader.frames, [each["image"] for each in seen])
    assert np.array_equal(reader.states, [each["state"] for each in seen])
    for logged, (reward, terminated, truncated, info) in zip(reader, steps, strict=True):
        assert np.array_equal(logged.action, STRAIGHT)
        assert (logged.text, logged.seed) == (info["text"], info["seed"])
        assert np.array_equal(logged.prediction.trajectory, info["trajectory"])
        assert (logged.reward, logged.terminated, logged.truncated) == (
            reward,
            terminated,
            truncated,
        )
        assert 0 < logged.latency < 10
    assert reader.about["model"] == {"name": "shift", "time": 2}
    assert reader.about["prompter"].startswith("Driving(")
    assert reader.about["scenario"].startswith("CarRacingScenario(")
    assert reader.about["seed"] == 5
    assert reader.about["lineage"] is None
    assert reader.about["synthetic"] is True


def test_each_episode_has_a_folder_and_close_finishes_the_last(made: Make, tmp_path: Path) -> None:
    env = RecordEpisodes(made(), tmp_path)
    env.reset(seed=0)
    env.step(STRAIGHT)
    assert EpisodeReader(tmp_path / "0000000").steps == 1
    assert not EpisodeReader(tmp_path / "0000000").finished
    env.reset()
    env.step(STRAIGHT)
    env.close()
    env.close()
    later = RecordEpisodes(made(), tmp_path)
    later.reset()
    later.close()
    readers = [EpisodeReader(path) for path in list_episodes(tmp_path)]
    assert [reader.steps for reader in readers] == [1, 1, 0]
    assert all(reader.finished for reader in readers)


def test_a_time_limit_beneath_is_logged(made: Make, tmp_path: Path) -> None:
    env = RecordEpisodes(made(max_episode_steps=1), tmp_path)
    env.reset(seed=0)
    env.step(STRAIGHT)
    assert EpisodeReader(tmp_path / "0000000").column("truncated").tolist() == [True]


def test_a_fork_is_logged_on_its_own(made: Make, tmp_path: Path) -> None:
    env = RecordEpisodes(made(), tmp_path)
    env.reset(seed=0)
    env.step(STRAIGHT)
    copied = chronosim.fork(env)
    expected = env.step(STRAIGHT)[0]["image"]
    assert np.array_equal(copied.step(STRAIGHT)[0]["image"], expected)
    copied.step(STRAIGHT)
    env.close()
    copied.close()
    parent, child = (EpisodeReader(path) for path in list_episodes(tmp_path))
    assert (parent.steps, child.steps) == (2, 2)
    assert child.about["lineage"] == {"episode": "0000000", "step": 1, "branch": 1}
    assert np.array_equal(child.frames[0], parent.frames[1])
    assert [child.observation(index).step for index in range(3)] == [1, 2, 3]
    assert [step.after.step for step in child] == [2, 3]
    moment = read_moment(str(child.path), 1, base_of(copied).world.prompter)
    assert (moment.root.step, moment.following(1)[0].after.step) == (2, 3), (
        "events come when they came"
    )


def base_of(env: Any) -> Any:
    return env.unwrapped


def test_a_recording_replays(made: Make, tmp_path: Path) -> None:
    env = RecordEpisodes(made(), tmp_path)
    env.reset(seed=0)
    base: Any = env.unwrapped
    start = base.observation
    frames = [env.step(STRAIGHT)[0]["image"] for _ in range(2)]
    env.close()
    replay = World(ReplayModel(tmp_path / "0000000"), base.world.prompter)
    imagined = replay.imagine(start, [STRAIGHT, STRAIGHT], seed=0)
    assert np.array_equal(frames, [step.after.frame for step in imagined])


def test_a_full_disk(made: Make, tmp_path: Path, full_disk: FullDisk) -> None:
    env = RecordEpisodes(made(), tmp_path)
    env.reset(seed=0)
    expected = [env.step(STRAIGHT)[0]["image"] for _ in range(2)]
    with full_disk(1024):
        with pytest.raises(EpisodeWriteError, match="the 2 steps before it are whole") as caught:
            env.step(STRAIGHT)
        assert isinstance(caught.value, OSError)
        with pytest.raises(ResetNeeded):  # a gap in the log would follow
            env.step(STRAIGHT)
        with pytest.raises(EpisodeWriteError, match="cannot begin"):
            env.reset()
    env.close()
    assert list_episodes(tmp_path) == []
    [path] = list_episodes(tmp_path, unfinished=True)
    reader = EpisodeReader(path)
    assert np.array_equal(reader.frames[1:], expected)
    assert len(list(reader)) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == [".0000000.draft"]


def test_only_our_environments(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig):
        RecordEpisodes(gym.make("CartPole-v1"), tmp_path)
