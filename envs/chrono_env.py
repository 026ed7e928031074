"""The environment: a world model behind Gymnasium's interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from jaxtyping import UInt8

from chronosim.errors import InvalidConfig, InvalidFrame, ResetNeeded
from chronosim.frames import fit_frame
from chronosim.protocols import Prompter, Scenario, WorldModel
from chronosim.simulator import Simulator, noise_seed
from chronosim.types import Frame, Observation, Prediction

__all__ = ["Answer", "ChronoEnv", "DictObservation", "Guard", "truncation"]

DictObservation = dict[str, np.ndarray]
"""`image`, uint8 (height, width, 3), and `state`, float32 (n,), where the prompter keeps one."""

Guard = Callable[[Frame], str | None]
"""Tells of an imagined frame why an episode must not go on from it; None: it may."""

_OPTIONS = ("frame", "values")


@dataclass(frozen=True, slots=True)
class Answer:
    """A judged step that an environment may take.

    Attributes:
        after: Where the world would stand.
        reward: The scenario's.
        terminated: Whether the scenario ends the episode.
        truncated: Whether the horizon or the guard cuts it.
        info: What a step hands out beside it.
    """

    after: Observation
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


def truncation(
    observation: Observation, terminated: bool, horizon: int | None, guard: Guard | None = None
) -> str | None:
    """Tells why an episode is cut off at an observation; None if it is not.

    The only place that decides it, for `ChronoEnv` and the rows of `ChronoVectorEnv` alike. It
    counts by `Observation.step`, so a fork carries its elapsed steps along.

    Returns:
        The guard's reason if it has one, for an end at the horizon says nothing of the frame; else
        `"horizon"` where that is reached.
    """
    if terminated:
        return None
    reason = None if guard is None else guard(observation.frame)
    if reason is None and horizon is not None and observation.step >= horizon:
        return "horizon"
    return reason


class ChronoEnv(gym.Env[DictObservation, Any]):
    """A world that a video model imagines, one action at a time.

    ## Description
    The prompter words an action, the world model predicts what an edit by these words makes of the
    observed frame, and the scenario judges the outcome. Nothing else is simulated: what the model
    does not know does not happen.

    ## Action Space
    The prompter's `action_space`. An action is held for the prompter's `seconds_per_step`.

    ## Observation Space
    A `Dict`:

    | key     | space                           | meaning                                          |
    |---------|---------------------------------|--------------------------------------------------|
    | `image` | `Box(0, 255, (H, W, 3), uint8)` | the observed frame, RGB                          |
    | `state` | the prompter's `state_space`,   | the commanded state, in the prompter's units, by |
    |         | float32                         | dead reckoning; absent if the prompter has none  |

    ## Rewards
    The scenario's.

    ## Starting State
    The scenario draws a first frame and initial values. `reset(options=...)` may name others:
    `frame`, uint8 (H, W, 3), and `values`, a dict of the prompter's initial values (for a frame
    of one's own, what is not named starts at the prompter's default).

    ## Episode End
    It terminates where the scenario says so, and is truncated after `horizon` steps, or where the
    `guard` says so; `info["truncation_reason"]` is then `"horizon"`, or the guard's reason
    (`"drift"`).

    `info` holds of each step the words it was predicted from (`text`), the `seed` of its noise, and
    its `trajectory`, uint8 (time, H, W, 3): the frames after the observed one, the outcome last.

    ## Arguments
    * `model`: the `WorldModel`.
    * `prompter`: the `Prompter`.
    * `scenario`: the `Scenario`.
    * `horizon`: steps after which an episode is truncated; None for endless.
    * `frame_size`: (height, width) that first frames are fitted to, once, at reset: what a camera
      saw is cut to the shape and resized. None takes frames of the scenario's own size only.
    * `render_mode`: `"rgb_array"` renders the observed frame; None renders nothing.
    * `guard`: looks at each outcome, and may give a reason to truncate the episode there: a
      `DriftGuard`, or any callable; None lets every frame pass.

    A step's noise is seeded by `noise_seed(noise, step)`, where `noise` is drawn from `np_random`
    at reset. A refused action therefore changes nothing, and the same seed gives the same episode
    here, as a row of `ChronoVectorEnv`, and in a fork.

    ## Version History
    * v0: first version.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 1.0}  # noqa: RUF012

    def __init__(
        self,
        model: WorldModel,
        prompter: Prompter,
        scenario: Scenario,
        *,
        horizon: int | None = 100,
        frame_size: tuple[int, int] | None = None,
        render_mode: str | None = None,
        guard: Guard | None = None,
    ) -> None:
        if horizon is not None and horizon < 1:
            raise InvalidConfig(f"horizon must be 1 step or more, or None for endless: {horizon}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InvalidConfig(f"render_mode must be rgb_array or None, not {render_mode!r}")
        self.simulator = Simulator(model, prompter)
        self.scenario = scenario
        self.horizon = horizon
        self.render_mode = render_mode
        self.guard = guard
        self.metadata = {**type(self).metadata, "render_fps": 1 / (prompter.seconds_per_step or 1)}
        self.action_space = prompter.action_space
        self._frame_size = frame_size
        # Only the scenario knows how large its frames are: a throw-away beginning tells.
        self._shape = self._fit(scenario.begin(np.random.default_rng(0))[0]).shape
        self.observation_space = self._observation_space()
        self._observation: Observation | None = None
        self._ended = False
        self._noise = 0

    @property
    def observation(self) -> Observation:
        """A copy of where the world stands.

        Raises:
            ResetNeeded: Before `reset`.
        """
        seen = self._seen()
        return Observation(seen.frame.copy(), seen.state.copy(), seen.step)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[DictObservation, dict[str, Any]]:
        """Begins an episode.

        Args:
            seed: Seed of the scenario's draw and of the world model's noise; None goes on drawing.
            options: May name a `frame`, uint8 (H, W, 3), and `values` to begin with.

        Returns:
            The first observation, and an empty info.

        Raises:
            InvalidConfig: An option, or a name among the values, is unknown.
            InvalidFrame: The frame is not RGB uint8 of the observation space's size.
        """
        super().reset(seed=seed)
        first = self._begin(options or {})
        self._noise = int(self.np_random.integers(2**63 - 1))
        self._observation, self._ended = first, False
        return self._handed_out(), {}

    def step(self, action: Any) -> tuple[DictObservation, float, bool, bool, dict[str, Any]]:
        """Holds an action for one step.

        Raises:
            ResetNeeded: Before `reset`, or after the episode's end.
            InvalidAction: The action does not lie in the action space; the world stays as it was.
            InvalidPrompt: The model cannot read the prompter's words.
            InvalidModel: The model broke its contract.
        """
        before, seed = self.asked()
        after, prediction = self.simulator.step(before, action, seed=seed)
        return self.answered(action, prediction, after)

    def asked(self) -> tuple[Observation, int]:
        """Gives what the next step starts from: the observation, and the seed of its noise.

        Raises:
            ResetNeeded: Before `reset`, or after the episode's end.
        """
        before = self._seen()
        if self._ended:
            raise ResetNeeded(f"the episode ended at step {before.step}: call reset before step")
        return before, noise_seed(self._noise, before.step)

    def answered(
        self, action: Any, prediction: Prediction, after: Observation
    ) -> tuple[DictObservation, float, bool, bool, dict[str, Any]]:
        """Moves the episode on by what the simulator made of `asked()`: a step's second half."""
        return self.take(self.judged(action, prediction, after))

    def judged(self, action: Any, prediction: Prediction, after: Observation) -> Answer:
        """Judges what the simulator made of `asked()`; the episode stays where it is.

        `ChronoVectorEnv` asks all its rows, predicts once, and moves none before all are judged.
        """
        before, seed = self.asked()
        reward, terminated = self.scenario.score(before, action, prediction, after)
        reason = truncation(after, terminated, self.horizon, self.guard)
        info = {"text": prediction.text, "seed": seed, "trajectory": prediction.trajectory.copy()}
        if reason is not None:
            info["truncation_reason"] = reason
        return Answer(after, float(reward), terminated, reason is not None, info)

    def take(self, answer: Answer) -> tuple[DictObservation, float, bool, bool, dict[str, Any]]:
        """Moves the episode on to what was judged."""
        self._observation = answer.after
        self._ended = answer.terminated or answer.truncated
        ends = (answer.terminated, answer.truncated)
        return self._handed_out(), answer.reward, *ends, answer.info

    def render(self) -> Frame | None:
        """Gives a copy of the observed frame, uint8 (H, W, 3); None without a render mode.

        Raises:
            ResetNeeded: Before `reset`.
        """
        return None if self.render_mode is None else self._seen().frame.copy()

    def reseed(self, seed: int) -> None:
        """Changes the noise from here on, of this episode and of those that follow."""
        self._np_random, self._np_random_seed = seeding.np_random(seed)
        self._noise = int(self.np_random.integers(2**63 - 1))

    def _begin(self, options: dict[str, Any]) -> Observation:
        for name in options:
            if name not in _OPTIONS:
                raise InvalidConfig(f"reset has no option {name!r}; it has: {', '.join(_OPTIONS)}")
        frame, values = self.scenario.begin(self.np_random)
        if "frame" in options:
            values = {}  # the scenario's values belong to its own frame
        if "values" in options:
            values = _checked(options["values"])
        begun = self.simulator.prompter.begin(values)
        # Observation checks the frame before it is fitted: it may be anything that a user gave.
        observation = Observation(self._fit(Observation(options.get("frame", frame)).frame), begun)
        if observation.frame.shape != self._shape:
            raise InvalidFrame(
                f"this environment's frames are {self._shape}, but the first one is "
                f"{observation.frame.shape}"
            )
        return Observation(observation.frame.copy(), begun)

    def _fit(self, frame: Frame) -> UInt8[np.ndarray, "rows columns 3"]:
        return frame if self._frame_size is None else fit_frame(frame, self._frame_size)

    def _observation_space(self) -> gym.Space[Any]:
        spaces: dict[str, gym.Space[Any]] = {"image": gym.spaces.Box(0, 255, self._shape, np.uint8)}
        if self.simulator.prompter.state_space.shape != (0,):
            spaces["state"] = self.simulator.prompter.state_space
        return gym.spaces.Dict(spaces)

    def _handed_out(self) -> DictObservation:
        seen = self.observation
        if self.simulator.prompter.state_space.shape == (0,):
            return {"image": seen.frame}
        return {"image": seen.frame, "state": seen.state}

    def _seen(self) -> Observation:
        if self._observation is None:
            raise ResetNeeded("the episode has not begun: call reset first")
        return self._observation


def _checked(values: Any) -> Mapping[str, float]:
    """Initial values as they were given, if they can be any."""
    named = isinstance(values, Mapping)
    if not named or not all(isinstance(value, Real) for value in values.values()):
        raise InvalidConfig(f"initial values are numbers by name, not {values!r}")
    return values
