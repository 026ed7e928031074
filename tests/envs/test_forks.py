from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics

import chronosim
from chronosim.envs.make import make_vector_env
from chronosim.envs.wrappers import FrameObservation
from chronosim.errors import InvalidConfig, ResetNeeded

Make = Callable[..., gym.Env[Any, Any]]
STRAIGHT = np.array([0.0, 0.2, 0.0], np.float32)


def play(env: gym.Env[Any, Any], steps: int) -> list[np.ndarray]:
    return [env.step(STRAIGHT)[0] for _ in range(steps)]


def test_both_go_on_alike_through_wrappers(made: Make) -> None:
    env = FrameObservation(RecordEpisodeStatistics(made(max_episode_steps=5)))
    env.reset(seed=0)
    play(env, 3)
    copied = chronosim.fork(env)
    assert np.array_equal(play(env, 1), play(copied, 1))
    for each in (env, copied):  # both remember the three steps before the fork
        *_, truncated, info = each.step(STRAIGHT)
        assert truncated
        assert info["episode"]["l"] == 5
    assert np.array_equal(env.reset()[0], copied.reset()[0])
    assert np.array_equal(play(env, 1), play(copied, 1))


def test_they_share_the_machines_and_nothing_else(made: Make) -> None:
    env = made()
    env.reset(seed=0)
    assert env.spec is not None  # cached by each wrapper, with the model among its arguments
    copied = chronosim.fork(env)
    ours: Any = env.unwrapped
    theirs: Any = copied.unwrapped
    assert theirs.world is ours.world
    assert theirs.spec is ours.spec
    play(copied, 2)
    assert (ours.observation.step, theirs.observation.step) == (0, 2)
    assert theirs.np_random is not ours.np_random
    seen, copy = ours.observation_space["image"], theirs.observation_space["image"]
    assert copy.low is seen.low  # megabytes where frames are large
    assert copy.high is seen.high
    assert copy.np_random is not seen.np_random


def test_a_seed_gives_other_noise(made: Make) -> None:
    env = made()
    env.reset(seed=0)
    play(env, 1)
    same, other, again = (chronosim.fork(env, seed) for seed in (None, 1, 1))
    futures = [
        [observation["image"] for observation in play(each, 2)]
        for each in (env, same, other, again)
    ]
    assert np.array_equal(futures[0], futures[1])
    assert not np.array_equal(futures[0], futures[2])
    assert np.array_equal(futures[2], futures[3])


def test_horizon_is_carried(made: Make) -> None:
    env = made(horizon=3)
    env.reset(seed=0)
    play(env, 2)
    assert chronosim.fork(env).step(STRAIGHT)[3] is True


def test_vector_environment(shift: Any) -> None:
    env = make_vector_env(2, shift)
    env.reset(seed=0)
    batch = np.stack([STRAIGHT, STRAIGHT])
    copied, other = chronosim.fork(env), chronosim.fork(env, 9)
    frames = [each.step(batch)[0]["image"] for each in (env, copied, other)]
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_rows_share_one_model(shift: Any) -> None:
    env = make_vector_env(3, shift)
    env.reset(seed=0)
    copied: Any = chronosim.fork(env)
    assert all(row.world.model is shift for row in copied.rows)
    assert all(row.world is env.world for row in copied.rows)


def test_what_cannot_be_forked(made: Make, tmp_path: Path) -> None:
    with pytest.raises(ResetNeeded):
        chronosim.fork(made())
    with pytest.raises(InvalidConfig, match="only a chronosim environment"):
        chronosim.fork(gym.make("CartPole-v1"))
