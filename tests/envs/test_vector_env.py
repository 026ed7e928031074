from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics, TransformReward

from chronosim.envs.make import make_vector_env
from chronosim.envs.vector_env import ChronoVectorEnv
from chronosim.errors import InvalidAction, InvalidConfig, JudgementFailed, ResetNeeded
from chronosim.testing import EchoModel
from chronosim.types import EditPrompt, Prediction

Make = Callable[..., gym.Env[Any, Any]]


def actions(env: gym.vector.VectorEnv[Any, Any, Any], steps: int) -> list[np.ndarray]:
    env.action_space.seed(0)
    return [env.action_space.sample() * np.float32(0.3) for _ in range(steps)]


class Counting:
    """Echoes and counts prompts per call; trajectories differ in length if `ragged`."""

    identity = EchoModel().identity

    def __init__(self, ragged: bool = False) -> None:
        self.calls: list[int] = []
        self.ragged = ragged

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        self.calls.append(len(prompts))
        return [
            Prediction(np.repeat(prompt.frame[None], index + 1 if self.ragged else 1, 0))
            for index, prompt in enumerate(prompts)
        ]


def test_make_vec(shift: Any) -> None:
    env = gym.make_vec("chronosim/CarRacing-v0", num_envs=3, model=shift)
    assert isinstance(env, ChronoVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    observations, infos = env.reset(seed=0)
    assert infos == {}
    assert env.observation_space.contains(observations)
    observations, rewards, terminated, truncated, infos = env.step(env.action_space.sample())
    assert env.observation_space.contains(observations)
    assert rewards.shape == terminated.shape == truncated.shape == (3,)
    assert infos["trajectory"].shape == (3, 2, 96, 96, 3)
    assert infos["_text"].all()
    env.close()


def test_rows_are_the_episodes_of_lone_environments(made: Make, shift: Any) -> None:
    # Over several episodes: a row's second one goes on drawing from the same generator.
    rows = gym.make_vec("chronosim/CarRacing-v0", num_envs=3, model=shift, horizon=3)
    plan = actions(rows, 9)
    observations, _ = rows.reset(seed=7)
    seen: list[tuple[Any, tuple[Any, ...]]] = [(observations, ())]
    for batch in plan:
        observations, rewards, terminated, truncated, _ = rows.step(batch)
        seen.append((observations, (rewards, terminated, truncated)))
    for row in range(3):
        env = made(horizon=3)
        observation, _ = env.reset(seed=7 + row)
        ended = False
        for step, batch in enumerate(plan, start=1):
            if ended:
                observation, _ = env.reset()
                judged: tuple[Any, ...] = (0.0, False, False)
            else:
                observation, *judged_, _ = env.step(batch[row])
                judged = tuple(judged_)
            ended = judged[1] or judged[2]
            observations, batched = seen[step]
            assert np.array_equal(observations["image"][row], observation["image"])
            assert np.array_equal(observations["state"][row], observation["state"])
            assert tuple(values[row] for values in batched) == judged


def test_one_call_for_all_rows_and_none_for_those_that_reset() -> None:
    model = Counting()
    env = make_vector_env(3, model, horizon=2)
    env.reset(seed=0)
    env.step(actions(env, 1)[0])
    last = env.rows[1].last_step
    assert last is not None
    env.rows[1]._last, env._ended[1] = replace(last, truncated=True), True
    before = env.rows[1].observation
    *_, infos = env.step(actions(env, 1)[0])
    assert model.calls == [3, 2]
    assert infos["_text"].tolist() == [True, False, True]
    assert env.rows[1].observation.step == 0
    assert before.step == 1
    _, rewards, terminated, truncated, _ = env.step(actions(env, 1)[0])
    assert model.calls == [3, 2, 1]
    assert rewards[0] == 0
    assert not terminated.any()
    assert not truncated.any()


def test_truncation_reason_comes_with_a_mask() -> None:
    env = make_vector_env(2, EchoModel(), horizon=1)
    env.reset()
    *_, truncated, infos = env.step(actions(env, 1)[0])
    assert truncated.all()
    assert infos["truncation_reason"].tolist() == ["horizon", "horizon"]


def test_ragged_trajectories() -> None:
    env = make_vector_env(2, Counting(ragged=True))
    env.reset(seed=0)
    *_, infos = env.step(actions(env, 1)[0])
    assert [len(trajectory) for trajectory in infos["trajectory"]] == [1, 2]
    assert infos["_trajectory"].all()


def test_vector_wrappers(shift: Any) -> None:
    env = RecordEpisodeStatistics(
        TransformReward(
            gym.make_vec("chronosim/CarRacing-v0", num_envs=2, model=shift, max_episode_steps=2),
            lambda rewards: rewards + 1.0,
        )
    )
    env.reset(seed=0)
    for batch in actions(env, 2):
        *_, infos = env.step(batch)
    assert infos["episode"]["l"].tolist() == [2, 2]
    assert (infos["episode"]["r"] >= 2).all()


def test_reset_by_mask_and_seeds(shift: Any) -> None:
    env = make_vector_env(2, shift)
    first, _ = env.reset(seed=[5, 6])
    assert env.np_random_seed == (5, 6)
    env.step(actions(env, 1)[0])
    again, _ = env.reset(seed=[5, 6], options={"reset_mask": np.array([True, False])})
    assert np.array_equal(again["image"][0], first["image"][0])
    assert not np.array_equal(again["image"][1], first["image"][1])
    assert [row.observation.step for row in env.rows] == [0, 1]
    with pytest.raises(InvalidConfig, match="reset_mask"):
        env.reset(options={"reset_mask": np.array([1, 0])})
    with pytest.raises(InvalidConfig, match="seeds"):
        env.reset(seed=[1])


def test_a_row_that_has_not_begun_cannot_be_left_out(shift: Any) -> None:
    env = make_vector_env(2, shift)
    with pytest.raises(ResetNeeded, match="the first reset takes all"):
        env.reset(options={"reset_mask": np.array([True, False])})


def test_no_row_moves_where_one_cannot_be_judged(
    shift: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make_vector_env(2, shift)
    env.reset(seed=0)
    verdicts = iter([(0.0, False)])

    def score(*_: Any) -> Any:
        for verdict in verdicts:
            return verdict
        raise JudgementFailed("nobody is there")

    monkeypatch.setattr(type(env.world.scenario), "score", score)
    with pytest.raises(JudgementFailed):
        env.step(actions(env, 1)[0])
    assert [row.observation.step for row in env.rows] == [0, 0]


def test_rendering(shift: Any) -> None:
    env = make_vector_env(2, shift, render_mode="rgb_array")
    observations, _ = env.reset(seed=0)
    frames = env.render()
    assert frames is not None
    assert np.array_equal(np.stack(frames), observations["image"])


def test_bad_input_leaves_all_rows_as_they_were(shift: Any) -> None:
    env = make_vector_env(2, shift)
    with pytest.raises(ResetNeeded):
        env.step(actions(env, 1)[0])
    env.reset(seed=0)
    good = actions(env, 1)[0]
    bad = good.copy()
    bad[1] = np.nan
    for wrong in (bad, good[:1], np.float32(1), None):
        with pytest.raises(InvalidAction):
            env.step(wrong)
    assert [row.observation.step for row in env.rows] == [0, 0]
    with pytest.raises(InvalidConfig, match="1 row or more"):
        make_vector_env(0, shift)
