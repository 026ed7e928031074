"""gym-pusht's PushT as a reference simulator: held actions, seen at chosen moments."""

from __future__ import annotations

import warnings
from typing import Any, cast

import gymnasium as gym
import numpy as np

from chronosim.errors import InvalidAction, MissingDependency, ResetNeeded
from chronosim.types import Frame, Prediction


class PushTSimulator:
    """Steps PushT by held actions and gives back what a world model would predict.

    A disc, the pusher, goes where the action says and pushes a T-shaped block about on a board of
    512 by 512 board units (5 1/3 of them a pixel); nothing moves that is not pushed.

    Args:
        hold: Simulator steps (of 0.1 s) that one action is held for. The pusher reaches any place
            on the board within 0.9 s (it is critically damped at 10 rad/s: PushTEnv.k_p, k_v).
        stride: Every stride-th of them is in the trajectory; it must divide `hold`.

    Raises:
        MissingDependency: gym-pusht is not installed.
    """

    def __init__(self, hold: int = 9, stride: int = 1) -> None:
        if hold < 1 or stride < 1 or hold % stride:
            raise InvalidAction(f"stride {stride} must divide hold {hold}")
        self.source, self.hold, self.stride = "gym_pusht/PushT-v0", hold, stride
        try:
            with warnings.catch_warnings():
                # pygame imports setuptools' pkg_resources, and pymunk's drawing warns as well.
                warnings.simplefilter("ignore")
                import gym_pusht  # noqa: F401  (it registers PushT)
        except ImportError as error:
            raise MissingDependency(
                "PushT needs gym-pusht: pip install 'chronosim[sim]'"
            ) from error
        self._env: Any = cast("Any", gym.make("gym_pusht/PushT-v0", obs_type="state").unwrapped)
        self._ready = False

    @property
    def seconds_per_step(self) -> float:
        """How long one action is held, in seconds."""
        return self.hold / float(self._env.control_hz)

    def reset(self, seed: int) -> tuple[Frame, dict[str, float]]:
        """Begins with block and pusher somewhere on the board.

        Args:
            seed: Of both places.

        Returns:
            The first frame, uint8 (96, 96, 3), and the pusher's place: x and y in board units.
        """
        self._env.reset(seed=seed)
        self._ready = True
        x, y = self._env.agent.position
        return self._frame(), {"x": float(x), "y": float(y)}

    def step(self, action: Any, *, draw: bool = True) -> tuple[Prediction | None, float, bool]:
        """Holds an action.

        Args:
            action: float32 (2,): where the pusher goes, x and y in board units.
            draw: Whether to draw the trajectory.

        Returns:
            What happened (None if not drawn), the simulator's own reward after it (the share of the
            goal covered, 95 % counting as 1), and whether the goal was covered on the way.

        Raises:
            ResetNeeded: Before `reset`.
        """
        if not self._ready:
            raise ResetNeeded("call reset(seed) before step")
        target, reward, ended, frames = np.asarray(action, np.float64), 0.0, False, []
        for tick in range(1, self.hold + 1):
            _, gain, terminated, _, _ = self._env.step(target)
            reward, ended = float(gain), ended or bool(terminated)
            if draw and tick % self.stride == 0:
                frames.append(self._frame())
        return Prediction(np.stack(frames)) if draw else None, reward, ended

    @property
    def coverage(self) -> float:
        """The share of the goal that the block covers, 0 to 1, by the simulator's geometry."""
        return float(self._env._get_coverage())

    def _frame(self) -> Frame:
        return np.ascontiguousarray(self._env._render())
