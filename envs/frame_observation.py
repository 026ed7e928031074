"""The bare frame as observation, as policies for CarRacing and PushT expect it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from chronosim.envs.chrono_env import DictObservation
from chronosim.errors import InvalidConfig
from chronosim.types import Frame

__all__ = ["FrameObservation"]


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
