"""The environment: a world model behind Gymnasium's interface."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding

from chronosim.errors import InvalidConfig, InvalidFrame, ResetNeeded
from chronosim.protocols import Prompter, Scenario, WorldModel
from chronosim.seeds import draw_noise, noise_seed
from chronosim.types import Frame, Guard, Observation, Step, as_seed
from chronosim.world import World

DictObservation = dict[str, np.ndarray]
"""`image`, uint8 (height, width, 3), and `state`, float32 (n,), where the prompter keeps one."""

_OPTIONS = ("frame", "values")


def describe_step(step: Step) -> dict[str, Any]:
    """Gives what an environment's `info` says of a step: plain, and without a clock in it."""
    info: dict[str, Any] = {
        "text": step.text,
        "seed": step.seed,
        "trajectory": step.prediction.trajectory.copy(),
    }
    if step.truncation_reason is not None:
        info["truncation_reason"] = step.truncation_reason
    if step.success is not None:
        info["is_success"] = step.success
    if step.prediction.metrics:
        info["metrics"] = {name: float(value) for name, value in step.prediction.metrics.items()}
    return info


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
    its `trajectory`, uint8 (time, H, W, 3): the frames after the observed one, the outcome last;
    where there are any, the model's `metrics` by name, and `is_success` as the scenario sees it.

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
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InvalidConfig(f"render_mode must be rgb_array or None, not {render_mode!r}")
        self.world = World(model, prompter, scenario, horizon, guard, frame_size)
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": 1 / (prompter.seconds_per_step or 1)}
        self.action_space = prompter.action_space
        # Only the scenario knows how large its frames are: a throw-away beginning tells.
        self._shape = self.world.begin(np.random.default_rng(0))[0].frame.shape
        self.observation_space = self._observation_space()
        self._observation: Observation | None = None
        self._last: Step | None = None
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
            InvalidConfig: An option, or a name among the values, is unknown; or the seed is no
                whole number from 0 to 2**63 - 1.
            InvalidFrame: The frame is not RGB uint8 of the observation space's size.
        """
        super().reset(seed=None if seed is None else as_seed(seed))
        asked = dict(options or {})
        for name in asked:
            if name not in _OPTIONS:
                raise InvalidConfig(f"reset has no option {name!r}; it has: {', '.join(_OPTIONS)}")
        if "values" in asked and asked["values"] is None:
            raise InvalidConfig("initial values are numbers by name, not None")
        first, noise = self.world.begin(self.np_random, **asked)
        if first.frame.shape != self._shape:
            raise InvalidFrame(
                f"this environment's frames are {self._shape}, but the first one is "
                f"{first.frame.shape}"
            )
        self._observation, self._noise, self._last = first, noise, None
        return self._handed_out(), {}

    def step(self, action: Any) -> tuple[DictObservation, float, bool, bool, dict[str, Any]]:
        """Holds an action for one step.

        Raises:
            ResetNeeded: Before `reset`, or after the episode's end.
            InvalidAction: The action does not lie in the action space; the world stays as it was.
            InvalidPrompt: The model cannot read the prompter's words.
            InvalidModel: The model broke its contract.
        """
        before, seed = self.ask()
        return self.take(self.world.step(before, action, seed=seed))

    def ask(self) -> tuple[Observation, int]:
        """Gives what the next step starts from: the observation, and the seed of its noise.

        `ChronoVectorEnv` asks all its rows, advances the world once, and then has each take its
        step, so that a refused action moves none of them.

        Raises:
            ResetNeeded: Before `reset`, or after the episode's end.
        """
        before = self._seen()
        if self._last is not None and self._last.ended:
            raise ResetNeeded(f"the episode ended at step {before.step}: call reset before step")
        return before, noise_seed(self._noise, before.step)

    def take(self, step: Step) -> tuple[DictObservation, float, bool, bool, dict[str, Any]]:
        """Moves the episode on by a step that the world took from `ask()`."""
        self._observation, self._last = step.after, step
        info = describe_step(step)
        return self._handed_out(), step.reward, step.terminated, step.truncated, info

    @property
    def last_step(self) -> Step | None:
        """The step taken last; None where none was taken since `reset`."""
        return self._last

    def render(self) -> Frame | None:
        """Gives a copy of the observed frame, uint8 (H, W, 3); None without a render mode.

        Raises:
            ResetNeeded: Before `reset`.
        """
        return None if self.render_mode is None else self._seen().frame.copy()

    def reseed(self, seed: int) -> None:
        """Changes the noise from here on, of this episode and of those that follow."""
        self._np_random, self._np_random_seed = seeding.np_random(as_seed(seed))
        self._noise = draw_noise(self.np_random)

    def _observation_space(self) -> gym.Space[Any]:
        spaces: dict[str, gym.Space[Any]] = {"image": gym.spaces.Box(0, 255, self._shape, np.uint8)}
        if self.world.prompter.state_space.shape != (0,):
            spaces["state"] = self.world.prompter.state_space
        return gym.spaces.Dict(spaces)

    def _handed_out(self) -> DictObservation:
        seen = self.observation
        if self.world.prompter.state_space.shape == (0,):
            return {"image": seen.frame}
        return {"image": seen.frame, "state": seen.state}

    def _seen(self) -> Observation:
        if self._observation is None:
            raise ResetNeeded("the episode has not begun: call reset first")
        return self._observation
