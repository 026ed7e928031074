"""Any Gymnasium environment as a reference simulator: held actions, seen at chosen moments."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.errors import (
    InvalidAction,
    InvalidConfig,
    InvalidFrame,
    MissingDependency,
    ResetNeeded,
)
from chronosim.frames import fit_frame
from chronosim.types import Frame, Observation, Prediction

_FRAMES = ("rendered", "observed")

# Many environments draw with pygame. It needs no screen for that; and it would take over the signal
# by which a pool of processes ends its workers, so that recording would never come to its end.
_SDL = {"SDL_VIDEODRIVER": "dummy", "SDL_NO_SIGNAL_HANDLERS": "1"}


class GymnasiumSimulator:
    """Steps a Gymnasium environment by held actions and shows what a world model would predict.

    A frame is drawn only where the trajectory needs it. The environment's time limit is lifted: how
    long an episode lasts is for who records it to say. Where the environment ends an episode within
    a hold, the world stands still for the rest of it.

    Args:
        environment: Its id, as `gymnasium.make` takes it; "my_package:MyWorld-v0" imports
            `my_package` first, which registers it.
        hold: Environment steps that one action is held for.
        stride: Every stride-th of them is in the trajectory; it must divide `hold`.
        frame_size: Height and width that frames are fitted to (their middle is cut to the shape).
        frames: "rendered": drawn by the environment's render mode rgb_array; "observed": its
            observations, where these are RGB frames.
        values: Initial values for the prompter: names, each with the place (0, 1 ...) of its number
            in the observation that the environment begins with.
        seconds_per_tick: How long one environment step is; None: the environment's `dt`, or one
            over its `render_fps`.
        arguments: Further arguments of the environment.

    Raises:
        InvalidConfig: There is no such environment, it cannot be made or drawn so, its actions are
            neither numbers nor choices, or a number here cannot be.
        MissingDependency: It needs a package that is not installed.
    """

    def __init__(
        self,
        environment: str,
        hold: int = 1,
        stride: int = 1,
        *,
        frame_size: Sequence[int] = (96, 96),
        frames: str = "rendered",
        values: Mapping[str, int] | None = None,
        seconds_per_tick: float | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        if hold < 1 or stride < 1 or hold % stride:
            raise InvalidConfig(f"stride {stride} must divide hold {hold}, both 1 or more")
        if frames not in _FRAMES:
            raise InvalidConfig(f"frames must be {' or '.join(_FRAMES)}, not {frames!r}")
        height, width = frame_size
        told = ", ".join(f"{name}={value!r}" for name, value in (arguments or {}).items())
        self.source, self.hold, self.stride = f"{environment}({told})", hold, stride
        self._env = _make(environment, "rgb_array" if frames == "rendered" else None, arguments)
        self._size, self._rendered = (height, width), frames == "rendered"
        self._values = dict(values or {})
        self._tick = _tick(self._env) if seconds_per_tick is None else seconds_per_tick
        if not self._tick > 0:
            raise InvalidConfig(f"seconds_per_tick must be positive, not {self._tick}")
        self._seen: Any = None
        self._running = False

    @property
    def seconds_per_step(self) -> float:
        """How long one action is held, in seconds."""
        return self.hold * self._tick

    def reset(self, seed: int) -> tuple[Frame, dict[str, float]]:
        """Begins an episode.

        Args:
            seed: Of the environment.

        Returns:
            The first frame, uint8 of `frame_size`, and the initial values.

        Raises:
            InvalidConfig: The observation has no such number.
            InvalidFrame: What the environment shows is not an RGB frame.
        """
        self._seen, _ = self._env.reset(seed=seed)
        self._running = True
        values = {name: self._number(name, place) for name, place in self._values.items()}
        return self._frame(), values

    def step(self, action: Any, *, draw: bool = True) -> tuple[Prediction | None, float, bool]:
        """Holds an action.

        Args:
            action: One of the environment's.
            draw: Whether to draw the trajectory.

        Returns:
            What happened (None if not drawn), the sum of the environment's rewards, and whether the
            episode ended.

        Raises:
            ResetNeeded: Before `reset`, or after the end.
            InvalidAction: The environment has no such action.
        """
        if not self._running:
            raise ResetNeeded("call reset(seed) before step, and after an episode's end")
        done, total, frames = self._action(action), 0.0, list[Frame]()
        for tick in range(1, self.hold + 1):
            if self._running:
                self._seen, reward, terminated, truncated, _ = self._env.step(done)
                self._running, total = not (terminated or truncated), total + float(reward)
            if draw and tick % self.stride == 0:
                frames.append(self._frame())
        return Prediction(np.stack(frames)) if draw else None, total, not self._running

    def _action(self, action: Any) -> Any:
        space = self._env.action_space
        try:
            discrete = isinstance(space, gym.spaces.Discrete)
            ours: Any = int(action) if discrete else np.asarray(action, space.dtype)
            if space.contains(ours):
                return ours
        except (TypeError, ValueError):
            pass  # refused below, by the same words
        raise InvalidAction(f"{self.source} has no action {action!r}: its actions are {space}")

    def _number(self, name: str, place: int) -> float:
        numbers = np.ravel(self._seen) if isinstance(self._seen, np.ndarray) else np.zeros(0)
        if not 0 <= place < len(numbers):
            raise InvalidConfig(
                f"{name} is number {place} of the observation, but {self.source} observes "
                f"{len(numbers)} numbers: {self._env.observation_space}"
            )
        return float(numbers[place])

    def _frame(self) -> Frame:
        shown = self._env.render() if self._rendered else self._seen
        if not isinstance(shown, np.ndarray):
            what = "draws" if self._rendered else "observes"
            raise InvalidFrame(
                f"{self.source} {what} no frame but {type(shown).__name__}: try "
                f"frames={_FRAMES[1] if self._rendered else _FRAMES[0]}"
            )
        frame = Observation(shown).frame  # which checks it
        return np.array(fit_frame(frame, self._size))  # some environments draw on one canvas


def _make(
    environment: str, render_mode: str | None, arguments: Mapping[str, Any] | None
) -> gym.Env[Any, Any]:
    for name, value in _SDL.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            # Of what Gymnasium warns here, the rest of this function refuses what matters.
            warnings.simplefilter("ignore")
            env: gym.Env[Any, Any] = gym.make(
                environment,
                max_episode_steps=-1,
                disable_env_checker=True,
                render_mode=render_mode,
                **(arguments or {}),
            )
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise MissingDependency(
            f"{environment} needs a package that is missing: {error}"
        ) from error
    except gym.error.UnregisteredEnv as error:
        raise InvalidConfig(
            f"there is no environment {environment!r} ({error}); one of your own is named "
            "my_package:MyWorld-v0, where importing my_package registers it"
        ) from error
    except (gym.error.Error, TypeError, ValueError) as error:
        raise InvalidConfig(f"{environment} cannot be made so: {error}") from error
    modes = env.unwrapped.metadata.get("render_modes", [])
    if render_mode is not None and render_mode not in modes:
        raise InvalidConfig(
            f"{environment} cannot be drawn as frames: it has no render mode rgb_array, only "
            f"{', '.join(modes) or 'none'}; if it observes frames, say frames=observed"
        )
    if not isinstance(env.action_space, gym.spaces.Box | gym.spaces.Discrete):
        raise InvalidConfig(
            f"the actions of {environment} must be numbers (Box) or choices (Discrete), "
            f"not {env.action_space}: wrap it and register the wrapped one"
        )
    return env


def _tick(env: gym.Env[Any, Any]) -> float:
    """Seconds of one step: a simulator's own `dt`, else what it asks to be shown at."""
    if (dt := getattr(env.unwrapped, "dt", None)) is not None:
        return float(dt)
    if rate := env.unwrapped.metadata.get("render_fps"):
        return 1 / float(rate)
    raise InvalidConfig(
        "the environment does not tell how long its steps are (dt, or render_fps in its "
        "metadata): give seconds_per_tick"
    )
