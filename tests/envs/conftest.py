from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from chronosim.envs.chrono_env import ChronoEnv
from chronosim.envs.make import make_env
from chronosim.types import EditPrompt, Prediction


@dataclass(frozen=True, slots=True)
class ShiftModel:
    """Shifts the frame sideways and adds noise; how far and which depend on seed and words."""

    time: int = 2

    @property
    def identity(self) -> dict[str, Any]:
        return {"name": "shift", "time": self.time}

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: EditPrompt) -> Prediction:
        rng = np.random.default_rng((prompt.seed, zlib.crc32(prompt.text.encode())))
        noise = rng.integers(-1, 2, prompt.frame.shape)
        frames = [
            np.clip(np.roll(prompt.frame, int(rng.integers(1, 3)), axis=0) + noise, 0, 255)
            for _ in range(self.time)
        ]
        return Prediction(np.stack(frames).astype(np.uint8))


@pytest.fixture
def shift() -> ShiftModel:
    return ShiftModel()


@pytest.fixture
def env(shift: ShiftModel) -> ChronoEnv:
    return make_env(shift)


@pytest.fixture
def made(shift: ShiftModel) -> Callable[..., gym.Env[Any, Any]]:
    """Makes the environment as users do, over the toy model."""

    def make(**arguments: Any) -> gym.Env[Any, Any]:
        return gym.make("chronosim/CarRacing-v0", **{"model": shift, **arguments})

    return make
