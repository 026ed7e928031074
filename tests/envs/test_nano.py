"""The promise, with the model that ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import chronosim
from chronosim.envs.make import load_model, make_env
from chronosim.envs.wrappers import RecordEpisodes
from chronosim.episodes import EpisodeReader
from chronosim.errors import InvalidFrame, InvalidPrompt
from chronosim.models.engine.encoding import encode_text
from chronosim.policies.carracing import LaneFollower
from chronosim.prompters.driving import Driving
from chronosim.prompters.pushing import Pushing
from chronosim.testing import check_world_model
from chronosim.types import EditPrompt, Observation

pytestmark = pytest.mark.slow

STRAIGHT = np.array([0.0, 0.1, 0.0], np.float32)
LEFT = np.array([-0.4, 0.1, 0.0], np.float32)
RIGHT = np.array([0.4, 0.1, 0.0], np.float32)


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model("nano")


def prompts(count: int) -> list[EditPrompt]:
    env = make_env(load_model("nano"))
    made = []
    for seed in range(count):
        env.reset(seed=seed)
        text, _ = env.world.prompter(env.observation, (STRAIGHT, LEFT, RIGHT)[seed % 3])
        made.append(EditPrompt(env.observation.frame, text, seed))
    return made


def test_contract_bit_for_bit(model: Any) -> None:
    check_world_model(model, prompts(3))


def test_check_env() -> None:
    check_env(gym.make("chronosim/CarRacing-v0").unwrapped)


def test_rows_are_the_episodes_of_lone_environments(model: Any) -> None:
    rows = gym.make_vec("chronosim/CarRacing-v0", num_envs=2)
    rows.reset(seed=4)
    batch = np.stack([LEFT, RIGHT])
    together = [rows.step(batch)[0]["image"] for _ in range(2)]
    for row in range(2):
        env = gym.make("chronosim/CarRacing-v0")
        env.reset(seed=4 + row)
        for frames in together:
            seen, _, terminated, _, _ = env.step(batch[row])
            assert np.array_equal(seen["image"], frames[row])
            if terminated:  # the row of the vector begins anew
                break


def test_the_world_answers_to_actions(model: Any) -> None:
    # The same noise, other actions: the bends of left and right lie further apart than what any
    # of them does to the frame's colours.
    env = make_env(model)
    env.reset(seed=0, options=None)
    left, straight, right = (
        branch[-1].after.frame.astype(float)
        for branch in env.world.what_if(env.observation, [[LEFT], [STRAIGHT], [RIGHT]], seed=0)
    )
    assert np.abs(left - right)[:84].mean() > 2
    assert np.abs(left - right)[:84].mean() > 0.5 * np.abs(left - straight)[:84].mean()


def test_a_recorded_drive_and_its_fork(tmp_path: Path) -> None:
    env = RecordEpisodes(gym.make("chronosim/CarRacing-v0"), tmp_path)
    env.reset(seed=1)
    base: Any = env.unwrapped
    driver = LaneFollower()
    for _ in range(2):
        *_, info = env.step(driver(base.observation))
    copied = chronosim.fork(env)
    ours, theirs = env.step(STRAIGHT)[0], copied.step(STRAIGHT)[0]
    assert np.array_equal(ours["image"], theirs["image"])
    assert info["trajectory"].shape[1:] == (96, 96, 3)
    env.close()
    copied.close()
    about = EpisodeReader(tmp_path / "0000000").about
    assert about["model"]["name"] == "nano"
    assert about["model"]["weights"]


def test_what_nano_never_learned(model: Any) -> None:
    frame = prompts(1)[0].frame
    with pytest.raises(InvalidPrompt):
        model.predict([EditPrompt(frame, "a pedestrian steps onto the road", 0)])
    with pytest.raises(InvalidFrame, match="96 x 96"):
        model.predict([EditPrompt(np.zeros((64, 64, 3), np.uint8), prompts(1)[0].text, 0)])


@pytest.mark.parametrize("foretells", [True, False])
def test_nano_can_read_whatever_the_prompter_says(foretells: bool) -> None:
    prompter = Driving(foretells=foretells)
    observation = Observation(np.zeros((96, 96, 3), np.uint8), prompter.begin({}))
    components = load_model("nano").components  # type: ignore[attr-defined]
    for steering in np.linspace(-1, 1, 60):
        # Full throttle: the speed climbs to the top and stays there.
        text, state = prompter(observation, np.array([steering, 1, 0], np.float32))
        encode_text(components, text)
        observation = Observation(observation.frame, state)
    assert state.item() == prompter.top_speed
    for percent in range(101):
        action = np.array([0, percent / 100, percent / 100], np.float32)
        speed = np.array([0.58 * percent], np.float32)
        encode_text(components, prompter(Observation(observation.frame, speed), action)[0])


@pytest.mark.parametrize("foretells", [True, False])
def test_nano_can_read_wherever_the_pusher_goes(foretells: bool) -> None:
    prompter = Pushing(foretells=foretells)
    components = load_model("nano").components  # type: ignore[attr-defined]
    frame, corner = np.zeros((96, 96, 3), np.uint8), prompter.begin({"x": 0, "y": 512})
    for percent in range(101):
        place = np.array([5.12 * percent, 512 - 5.12 * percent], np.float32)
        there, state = prompter(Observation(frame, corner), place)
        encode_text(components, there)
        encode_text(components, prompter(Observation(frame, state), corner)[0])
