"""Any Gymnasium environment, held and drawn as a world model answers."""

from __future__ import annotations

import os
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from chronosim.errors import (
    InvalidAction,
    InvalidConfig,
    InvalidFrame,
    MissingDependency,
    ResetNeeded,
)
from chronosim.simulators.any_gymnasium import GymnasiumSimulator
from chronosim.simulators.reference import ReferenceSimulator, branch

PUSH = np.array([1.5], np.float32)


class Counter(gym.Env[Any, Any]):
    """Shows how often it was stepped and drawn; ends at step `last`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = gym.spaces.Box(0, 255, (6, 6, 3), np.uint8)
    action_space: gym.Space[Any] = gym.spaces.Discrete(3)

    def __init__(self, render_mode: str | None = None, last: int = 100, dt: Any = None) -> None:
        self.render_mode, self.last, self.drawn = render_mode, last, 0
        if dt is not None:
            self.dt = dt

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._shown(), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return self._shown(), 1.0, self.count >= self.last, False, {}

    def render(self) -> Any:
        self.drawn += 1
        return self._shown()

    def _shown(self) -> Any:
        return np.full((6, 6, 3), self.count, np.uint8)


class Blind(Counter):
    metadata = {"render_modes": ["human"]}  # noqa: RUF012


class Many(Counter):
    action_space = gym.spaces.Dict({"a": gym.spaces.Discrete(2)})


@pytest.fixture(autouse=True)
def _worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    for world in (Counter, Blind, Many):
        place = f"{__name__}:{world.__name__}"
        gym.register(f"tests/{world.__name__}-v0", place, max_episode_steps=3)


def counter(hold: int = 4, stride: int = 2, **settings: Any) -> GymnasiumSimulator:
    return GymnasiumSimulator("tests/Counter-v0", hold, stride, frame_size=(6, 6), **settings)


def test_a_real_environment_repeats_by_seed_drawn_or_not() -> None:
    drawn, undrawn = (
        GymnasiumSimulator("Pendulum-v1", 4, 2, values={"speed": 2}, arguments={"g": 0.0})
        for _ in range(2)
    )
    assert isinstance(drawn, ReferenceSimulator)
    first, values = drawn.reset(5)
    again, _ = undrawn.reset(5)
    assert first.shape == (96, 96, 3)
    assert np.array_equal(first, again)
    assert -1 <= values["speed"] <= 1
    drawn.step(PUSH)
    assert undrawn.step(PUSH, draw=False)[0] is None
    ours, theirs = drawn.step(PUSH)[0], undrawn.step(PUSH)[0]
    assert ours is not None
    assert theirs is not None
    assert ours.trajectory.shape == (2, 96, 96, 3)
    assert np.array_equal(ours.trajectory, theirs.trajectory)
    assert not np.array_equal(ours.frame, first)
    assert np.array_equal(branch(drawn, 5, [PUSH], PUSH).frame, ours.frame)
    assert not np.array_equal(branch(drawn, 5, [PUSH], -PUSH).frame, ours.frame)
    assert drawn.seconds_per_step == pytest.approx(0.2), "its own dt, not the rate it is shown at"
    assert drawn.source == "Pendulum-v1(g=0.0)"


def test_held_actions_are_seen_at_every_stride_th_step_and_drawn_only_there() -> None:
    simulator = counter()
    frame, values = simulator.reset(0)
    assert (frame.max(), values) == (0, {})
    prediction, reward, ended = simulator.step(1)
    assert prediction is not None
    assert prediction.trajectory[:, 0, 0, 0].tolist() == [2, 4]
    assert (reward, ended) == (4.0, False), "the time limit of 3 steps is lifted"
    simulator.step(2, draw=False)
    inner: Any = simulator._env.unwrapped
    assert inner.drawn == 3
    assert simulator.seconds_per_step == pytest.approx(0.4)


def test_observations_can_be_the_frames() -> None:
    simulator = counter(1, 1, frames="observed")
    simulator.reset(0)
    prediction, _, _ = simulator.step(0)
    assert prediction is not None
    assert prediction.frame.max() == 1
    inner: Any = simulator._env.unwrapped
    assert (inner.drawn, inner.render_mode) == (0, None)


def test_after_its_end_the_world_stands_still_until_it_is_reset() -> None:
    simulator = counter(arguments={"last": 3})
    simulator.reset(0)
    prediction, reward, ended = simulator.step(1)
    assert prediction is not None
    assert prediction.trajectory[:, 0, 0, 0].tolist() == [2, 3]
    assert (reward, ended) == (3.0, True)
    with pytest.raises(ResetNeeded):
        simulator.step(1)
    simulator.reset(0)
    simulator.step(1)


def test_the_length_of_a_step_is_asked_for_where_nothing_tells_it() -> None:
    assert counter(arguments={"dt": 0.5}).seconds_per_step == pytest.approx(2.0)
    assert counter(seconds_per_tick=0.1).seconds_per_step == pytest.approx(0.4)
    with pytest.raises(InvalidConfig, match="give seconds_per_tick"):
        GymnasiumSimulator("tests/Blind-v0", frames="observed")


@pytest.mark.parametrize("action", [3, -1, None, "left", [0, 1]])
def test_an_action_that_it_has_not(action: Any) -> None:
    simulator = counter()
    simulator.reset(0)
    with pytest.raises(InvalidAction, match=r"Counter-v0\(\) has no action .*Discrete\(3\)"):
        simulator.step(action)


@pytest.mark.parametrize(
    ("environment", "settings", "error", "said"),
    [
        ("NoSuchWorld-v1", {}, InvalidConfig, "there is no environment 'NoSuchWorld-v1'"),
        ("no_such_package:X-v1", {}, MissingDependency, "no_such_package"),
        ("tests/Counter-v0", {"arguments": {"lats": 3}}, InvalidConfig, "lats"),
        ("tests/Blind-v0", {}, InvalidConfig, "no render mode rgb_array, only human"),
        ("tests/Many-v0", {}, InvalidConfig, "numbers .*or choices .*not Dict"),
        ("tests/Counter-v0", {"hold": 3, "stride": 2}, InvalidConfig, "stride 2 must divide"),
        ("tests/Counter-v0", {"frames": "drawn"}, InvalidConfig, "rendered or observed"),
        ("tests/Counter-v0", {"seconds_per_tick": 0}, InvalidConfig, "must be positive"),
    ],
)
def test_what_cannot_be(
    environment: str, settings: dict[str, Any], error: type[Exception], said: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=said):
            GymnasiumSimulator(environment, **settings)


@pytest.mark.usefixtures("as_users_run_it")
def test_observations_without_what_is_asked_of_them() -> None:
    with pytest.raises(InvalidConfig, match=r"speed is number 3 .*observes 3 numbers"):
        GymnasiumSimulator("Pendulum-v1", values={"speed": 3}).reset(0)
    with pytest.raises(InvalidFrame, match="RGB"):
        GymnasiumSimulator("Pendulum-v1", frames="observed").reset(0)


def test_a_pool_of_processes_can_end_those_that_drew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDL_NO_SIGNAL_HANDLERS", raising=False)
    counter()
    assert os.environ["SDL_NO_SIGNAL_HANDLERS"] == "1"
