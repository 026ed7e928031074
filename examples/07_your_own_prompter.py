"""Gives the world model another steering wheel: a prompter of one's own, in 30 lines.

A prompter says which actions there are, words them, and keeps what no frame shows. This one drives
by four keys; the sentences are the driving prompter's, since those are what nano has learned. For a
model that reads free words, write your own.

Usage: python examples/07_your_own_prompter.py [model]
"""

import sys
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.envs import ChronoEnv, load_model
from chronosim.errors import InvalidAction
from chronosim.frames import write_frame
from chronosim.prompters import Driving
from chronosim.scenarios import CarRacingScenario
from chronosim.testing import check_prompter
from chronosim.types import Observation, State

KEYS = {
    "up": (0.0, 0.2, 0.0),
    "left": (-0.3, 0.0, 0.0),
    "right": (0.3, 0.0, 0.0),
    "down": (0, 0, 0.5),
}


class Keys:
    """Drives by the arrow keys, each held for a step; the commanded state is the speed in m/s."""

    def __init__(self) -> None:
        self.wheel = Driving(foretells=True)
        self.seconds_per_step = self.wheel.seconds_per_step
        self.action_space = gym.spaces.Discrete(len(KEYS))
        self.state_space = self.wheel.state_space

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts at `speed` m/s."""
        return self.wheel.begin(values)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words a key."""
        if action not in self.action_space:
            raise InvalidAction(f"a key is a number from 0 to {len(KEYS) - 1}, not {action!r}")
        return self.wheel(observation, np.array(list(KEYS.values())[int(action)], np.float32))


check_prompter(Keys())  # the contract of every prompter, as a runnable check

model = load_model(sys.argv[1] if len(sys.argv) > 1 else "nano")
env = ChronoEnv(model, Keys(), CarRacingScenario())
seen, info = env.reset(seed=11)
frames = [seen["image"]]
for key in ("up", "left", "left", "right", "down"):
    seen, reward, terminated, truncated, info = env.step(list(KEYS).index(key))
    print(f"{key:>5}: {info['text']} -> reward {reward:.2f}")
    frames.append(seen["image"])
write_frame("keys.png", np.hstack(frames))
