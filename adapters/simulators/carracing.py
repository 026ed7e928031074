"""Gymnasium's CarRacing-v3 as a reference simulator: held actions, seen at chosen moments."""

from __future__ import annotations

from typing import Any, cast

import gymnasium as gym
import numpy as np

from chronosim.errors import InvalidAction, MissingDependency, ResetNeeded
from chronosim.types import Frame, Prediction

_ZOOM_FRAMES = 50  # the camera zooms in during the first second: no world to learn
_TICK = 0.02  # seconds of one simulator step


class CarRacingSimulator:
    """Steps CarRacing-v3 by held actions and gives back what a world model would predict.

    Frames are drawn only where the trajectory needs them: drawing takes 200 times as long as the
    physics, so an episode can be replayed undrawn to reach a state again (the simulator cannot be
    copied).

    Args:
        hold: Simulator frames (of 0.02 s) that one action is held for.
        stride: Every stride-th of them is in the trajectory; it must divide `hold`.

    Raises:
        MissingDependency: Box2D is not installed.
    """

    def __init__(self, hold: int = 18, stride: int = 2) -> None:
        if hold < 1 or hold % stride:
            raise InvalidAction(f"stride {stride} must divide hold {hold}")
        self.source, self.hold, self.stride = "CarRacing-v3", hold, stride
        try:
            env: Any = cast("Any", gym.make("CarRacing-v3").unwrapped)
        except gym.error.DependencyNotInstalled as error:
            raise MissingDependency(
                "CarRacing needs Box2D: pip install 'chronosim[sim]'"
            ) from error
        # CarRacing draws in every step; it must not, so its method is taken out and called by us.
        self._env, self._draw = env, env._render
        env._render = lambda mode: None
        self._ready = False

    def reset(self, seed: int) -> tuple[Frame, dict[str, float]]:
        """Starts a track; the zoom animation is over and the car stands at the start line.

        Args:
            seed: Seed of the track.

        Returns:
            The first frame, uint8 (96, 96, 3), and the initial values: speed in m/s.
        """
        self._env.reset(seed=seed)
        for _ in range(_ZOOM_FRAMES):
            self._env.step(np.zeros(3, np.float32))
        self._ready = True
        return self._frame(), {"speed": self.speed}

    def step(self, action: Any, *, draw: bool = True) -> tuple[Prediction | None, float, bool]:
        """Holds an action.

        Args:
            action: float32 (3,): steering, throttle, brake.
            draw: Whether to draw the trajectory.

        Returns:
            What happened (None if not drawn), the simulator's own reward, and whether it ended.

        Raises:
            ResetNeeded: Before `reset`.
        """
        if not self._ready:
            raise ResetNeeded("call reset(seed) before step")
        reward, ended, frames = 0.0, False, []
        for tick in range(1, self.hold + 1):
            _, gain, terminated, _, _ = self._env.step(np.asarray(action, np.float32))
            reward, ended = reward + float(gain), ended or bool(terminated)
            if draw and tick % self.stride == 0:
                frames.append(self._frame())
        return Prediction(np.stack(frames)) if draw else None, reward, ended

    @property
    def seconds_per_step(self) -> float:
        """How long one action is held, in seconds."""
        return self.hold * _TICK

    @property
    def speed(self) -> float:
        """The car's true speed, m/s."""
        return float(np.hypot(*self._env.car.hull.linearVelocity))

    @property
    def on_road(self) -> bool:
        """Whether at least one wheel touches the road."""
        return any(wheel.tiles for wheel in self._env.car.wheels)

    def _frame(self) -> Frame:
        return np.ascontiguousarray(self._draw("state_pixels"))
