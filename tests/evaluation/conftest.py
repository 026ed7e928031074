"""A world small enough to know the answers: a bar that actions push to and fro."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from chronosim.evaluation import Moment, Reference, Region
from chronosim.types import Frame, Observation, Prediction

SIDE = 24


def draw_bar(place: int, top: int = 0) -> Frame:
    frame = np.full((SIDE, SIDE, 3), 20, np.uint8)
    frame[top:, np.arange(place, place + 4) % SIDE] = 220
    return frame


@dataclass
class Slider:
    """Every tick the bar moves by the action's columns; seeds ending in 0 end after two steps."""

    hold: int = 4
    stride: int = 2
    source: str = "Slider"
    seconds_per_step: float = 0.4
    place: int = 0
    seed: int = 0
    steps: int = 0
    top: int = 0

    def reset(self, seed: int) -> tuple[Frame, dict[str, float]]:
        self.place, self.seed, self.steps = seed % SIDE, seed, 0
        return draw_bar(self.place, self.top), {"x": float(self.place)}

    def step(self, action: Any, *, draw: bool = True) -> tuple[Prediction | None, float, bool]:
        frames = []
        for tick in range(1, self.hold + 1):
            self.place += int(action[0])
            if draw and tick % self.stride == 0:
                frames.append(draw_bar(self.place, self.top))
        self.steps += 1
        ended = self.seed % 10 == 0 and self.steps == 2
        return Prediction(np.stack(frames)) if draw else None, 0.0, ended


class Mover:
    """Words of how far the bar goes; the commanded state is where it is."""

    seconds_per_step = 0.4
    action_space = gym.spaces.Box(-2, 2, (1,), np.float32)
    state_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)

    def begin(self, values: Mapping[str, float]) -> Any:
        return np.array([values.get("x", 0)], np.float32)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, Any]:
        moved = 4 * int(action[0])
        return f"{observation.state[0]:.0f} {moved}", observation.state + np.float32(moved)


@dataclass
class Wanderer:
    seed: int
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def __call__(self, observation: Observation) -> Any:
        return self.rng.integers(-2, 3, 1).astype(np.float32)


class Knowing:
    """The world itself as a model: it reads place and movement from the words."""

    identity: Mapping[str, Any] = {"name": "knowing"}

    def predict(self, prompts: Any) -> list[Prediction]:
        predictions = []
        for prompt in prompts:
            place, moved = map(int, prompt.text.split())
            np.testing.assert_array_equal(prompt.frame, draw_bar(place), "it is fed its own frames")
            frames = [draw_bar(place + moved // 2), draw_bar(place + moved)]
            predictions.append(Prediction(np.stack(frames)))
        return predictions

    def reconstruct(self, frame: Frame, trajectory: Any) -> Any:
        return trajectory // 2 * 2


@pytest.fixture
def knowing() -> Knowing:
    return Knowing()


@pytest.fixture
def slider() -> Reference:
    return Reference(Slider, Mover(), Wanderer, partial(_other, 1000))


def _other(shift: int, seed: int) -> Wanderer:
    return Wanderer(seed + shift)


@pytest.fixture
def noise() -> Callable[..., list[Moment]]:
    """Moments of random frames, no two alike."""

    def make(count: int = 8, time: int = 3) -> list[Moment]:
        rng = np.random.default_rng(0)

        def frames(number: int) -> Any:
            return rng.integers(0, 256, (number, 96, 96, 3), dtype=np.uint8)

        return [
            Moment(seed, Observation(frames(1)[0]), (0,) * 5, frames(time), frames(4))
            for seed in range(count)
        ]

    return make


@pytest.fixture
def dashboard() -> Region:
    return Region("dashboard", 84)


class Broken:
    """The world itself as a model that never looks at its frame, spoilt in one way by name."""

    def __init__(self, how: str = "") -> None:
        self.how, self.calls = how, 0
        self.identity = {"name": f"broken: {how}" if how else "whole"}

    def predict(self, prompts: Any) -> list[Prediction]:
        self.calls += 1
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: Any) -> Prediction:
        place, moved = map(int, prompt.text.split())
        if self.how == "ignores actions":
            moved = 4
        frames = [draw_bar(place + moved // 2), draw_bar(place + moved)]
        if self.how == "runs backwards":
            frames = frames[::-1]
        if self.how == "stands still":
            frames = [prompt.frame.copy(), prompt.frame.copy()]
        if self.how == "drifts":
            redder = np.array([int(prompt.frame.min(axis=(0, 1))[0]) - 20 + 6, 0, 0])
            frames = [np.clip(frame + redder, 0, 255).astype(np.uint8) for frame in frames]
        if self.how == "changes its mind":
            frames = [frame + np.uint8(self.calls % 7) for frame in frames]
        if self.how == "reads seeds":
            frames = [frame + np.uint8(prompt.seed % 9) for frame in frames]
        return Prediction(np.stack(frames))


@pytest.fixture
def broken() -> type[Broken]:
    return Broken
