from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics, RecordVideo, TimeLimit

from chronosim.envs.chrono_env import ChronoEnv
from chronosim.envs.make import make_env
from chronosim.envs.wrappers import FrameObservation
from chronosim.errors import InvalidAction, InvalidConfig, InvalidFrame, InvalidModel, ResetNeeded
from chronosim.testing import EchoModel
from chronosim.types import EditPrompt, Prediction

Make = Callable[..., gym.Env[Any, Any]]
STRAIGHT = np.array([0.0, 0.2, 0.0], np.float32)
LEFT = np.array([-0.5, 0.1, 0.0], np.float32)


def run(env: gym.Env[Any, Any], actions: list[np.ndarray], seed: int | None) -> list[np.ndarray]:
    env.reset(seed=seed)
    return [env.step(action)[0]["image"] for action in actions]


@pytest.mark.parametrize("arguments", [{}, {"model": "echo"}, {"render_mode": "rgb_array"}])
def test_check_env_passes_without_a_warning(made: Make, arguments: dict[str, Any]) -> None:
    check_env(made(**arguments).unwrapped)


def test_promise(made: Make) -> None:
    env = made()
    observation, info = env.reset(seed=0)
    assert info == {}
    assert observation["image"].shape == (96, 96, 3)
    assert observation["state"].dtype == np.float32
    after, reward, terminated, truncated, info = env.step(STRAIGHT)
    assert env.observation_space.contains(after)
    assert type(reward) is float
    assert (terminated, truncated) == (False, False)
    assert sorted(info) == ["seed", "text", "trajectory"]
    assert info["text"].startswith("The car goes from ")
    assert info["trajectory"].shape == (2, 96, 96, 3)
    assert np.array_equal(info["trajectory"][-1], after["image"])
    assert after["state"] > observation["state"] - 1


def test_same_seed_same_episode_other_seed_another(made: Make) -> None:
    actions = [STRAIGHT, LEFT, STRAIGHT]
    first, again, other = (run(made(), actions, seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_episode_is_the_plan_imagined(env: ChronoEnv) -> None:
    # The environment adds an episode to the simulator, and nothing else.
    env.reset(seed=1)
    start, noise = env.observation, env._noise
    seen = [env.step(action)[0]["image"] for action in (STRAIGHT, LEFT)]
    imagined = env.world.imagine(start, [STRAIGHT, LEFT], seed=noise)
    assert np.array_equal(seen, [step.after.frame for step in imagined])


@pytest.mark.parametrize(
    "action",
    [
        np.zeros(2, np.float32),
        np.array([np.nan, 0, 0], np.float32),
        np.array([0, 2, 0], np.float32),
        "left",
        None,
    ],
)
def test_wrong_action_is_refused_and_changes_nothing(env: ChronoEnv, action: Any) -> None:
    expected = run(env, [STRAIGHT, STRAIGHT], 0)
    env.reset(seed=0)
    env.step(STRAIGHT)
    with pytest.raises(InvalidAction, match="an action must") as caught:
        env.step(action)
    assert isinstance(caught.value, ValueError)
    assert env.observation.step == 1
    assert np.array_equal(env.step(STRAIGHT)[0]["image"], expected[1])


def test_step_before_reset(made: Make) -> None:
    with pytest.raises(ResetNeeded, match="call reset first"):
        made().step(STRAIGHT)
    with pytest.raises(ResetNeeded):
        made(render_mode="rgb_array").render()


def test_horizon_truncates_and_says_so(made: Make) -> None:
    env = made(horizon=2)
    env.reset(seed=0)
    *_, truncated, info = env.step(STRAIGHT)
    assert not truncated
    assert "truncation_reason" not in info
    *_, truncated, info = env.step(STRAIGHT)
    assert truncated
    assert info["truncation_reason"] == "horizon"
    with pytest.raises(ResetNeeded, match="ended at step 2"):
        env.step(STRAIGHT)
    env.reset()
    assert env.step(STRAIGHT)[3] is False


def test_losing_the_road_terminates(env: ChronoEnv) -> None:
    env.reset(options={"frame": np.full((96, 96, 3), (100, 200, 100), np.uint8)})
    _, reward, terminated, truncated, _ = env.step(STRAIGHT)
    assert (reward, terminated, truncated) == (0.0, True, False)


def test_reset_options(env: ChronoEnv) -> None:
    frame = np.full((96, 96, 3), 100, np.uint8)
    observation, _ = env.reset(options={"frame": frame, "values": {"speed": 12.0}})
    assert np.array_equal(observation["image"], frame)
    assert observation["state"].tolist() == [12.0]
    frame[:] = 0
    assert env.observation.frame.min() == 100
    observation, _ = env.reset(options={"frame": frame})
    assert observation["state"].tolist() == [0.0]


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"values": None}, InvalidConfig, "numbers by name, not None"),
        ({"values": {"speed": "a"}}, InvalidConfig, "numbers by name"),
        ({"frame": np.zeros((96, 96, 4), np.uint8)}, InvalidFrame, "RGB"),
        ({"frame": np.zeros((96, 96), np.uint8)}, InvalidFrame, "RGB"),
        ({"frame": np.zeros((96, 96, 3), np.float32)}, InvalidFrame, "uint8"),
        ({"frame": np.zeros((64, 64, 3), np.uint8)}, InvalidFrame, r"\(96, 96, 3\)"),
        ({"values": {"height": 1.0}}, InvalidConfig, "'height'"),
        ({"weather": "rain"}, InvalidConfig, "'weather'"),
    ],
)
def test_wrong_reset_options(
    env: ChronoEnv, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        env.reset(options=options)


def test_arguments_that_cannot_be(made: Make) -> None:
    with pytest.raises(InvalidConfig, match="horizon"):
        made(horizon=0)
    with pytest.raises(InvalidConfig, match="render_mode"):
        make_env(EchoModel(), render_mode="ansi")


def test_what_is_handed_out_is_a_copy(env: ChronoEnv) -> None:
    expected = run(env, [STRAIGHT, STRAIGHT], 0)
    observation, _ = env.reset(seed=0)
    observation["image"][:] = 0
    observation["state"][:] = 99
    after, *_, info = env.step(STRAIGHT)
    assert np.array_equal(after["image"], expected[0])
    after["image"][:] = 0
    info["trajectory"][:] = 0
    env.observation.frame[:] = 0
    assert np.array_equal(env.step(STRAIGHT)[0]["image"], expected[1])


def test_rendering(made: Make) -> None:
    env = made(render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    frame: Any = env.render()
    assert np.array_equal(frame, observation["image"])
    assert env.metadata["render_fps"] == pytest.approx(1 / 0.36)
    silent = made()
    silent.reset()
    assert silent.render() is None


def test_frame_observation(made: Make) -> None:
    env = FrameObservation(made())
    check_env(FrameObservation(made()).unwrapped)
    frame, _ = env.reset(seed=0)
    assert env.observation_space == gym.spaces.Box(0, 255, (96, 96, 3), np.uint8)
    assert env.observation_space.contains(frame)
    assert env.observation_space.contains(env.step(STRAIGHT)[0])
    with pytest.raises(InvalidConfig):
        FrameObservation(gym.make("CartPole-v1"))


def test_standard_wrappers(made: Make, tmp_path: Path) -> None:
    limited = made(render_mode="rgb_array", max_episode_steps=3)
    assert isinstance(limited, TimeLimit)
    env: Any = RecordVideo(RecordEpisodeStatistics(limited), str(tmp_path / "videos"))
    env.reset(seed=0)
    for _ in range(3):
        *_, truncated, info = env.step(STRAIGHT)
    env.close()
    assert truncated
    assert info["episode"]["l"] == 3
    assert (tmp_path / "videos" / "rl-video-episode-0.mp4").stat().st_size > 1000


def test_model_that_breaks_its_contract(env: ChronoEnv) -> None:
    class Small(EchoModel):
        def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
            return [Prediction(prompt.frame[None, ::2, ::2]) for prompt in prompts]

    class Silent(EchoModel):
        def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
            return []

    for model, sentence in ((Small(), "keep the size"), (Silent(), "0 predictions for 1")):
        env = make_env(model)
        env.reset()
        with pytest.raises(InvalidModel, match=sentence):
            env.step(STRAIGHT)


def test_a_camera_is_fitted_once_at_reset() -> None:
    env = make_env("echo", frame_size=(96, 96))
    assert env.observation_space["image"].shape == (96, 96, 3)  # type: ignore[index]
    photo = np.full((480, 640, 3), 90, np.uint8)
    seen, _ = env.reset(seed=0, options={"frame": photo})
    assert seen["image"].shape == (96, 96, 3)
    assert (seen["image"] == 90).all()
    with pytest.raises(InvalidFrame, match="480, 640, 3"):
        make_env("echo").reset(seed=0, options={"frame": photo})
