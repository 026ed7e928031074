"""Any policy made worse by a known amount, so that there are bad ones to tell from good ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import gymnasium as gym
import numpy as np
from jaxtyping import Float32

from chronosim.errors import InvalidConfig
from chronosim.policies.acting import Act, RowByRow, act_alone
from chronosim.protocols import Prompter
from chronosim.types import Observation


@dataclass(slots=True)
class Handicapped(RowByRow):
    """Acts as another policy does, but late, askew, shakily or without thinking.

    Attributes:
        policy: Whose actions; called with an observation it gives one.
        prompter: Whose action space they stay in; it is a Box with bounds.
        seed: Seed of what is drawn.
        noise: Deviation of what is added to each number, as a share of its range.
        bias: What is always added, as a share of its range, one number for all or one for each.
        whim: Share of steps at which an action is drawn at random instead.
        delay: Held actions by which what it sees is old; the first frame is seen for longer.

    Raises:
        InvalidConfig: The actions are no bounded numbers, or a setting cannot be.
    """

    policy: Act
    prompter: Prompter
    seed: int = 0
    noise: float = 0.0
    bias: float | Sequence[float] = 0.0
    whim: float = 0.0
    delay: int = 0
    _rng: np.random.Generator = field(init=False, repr=False)
    _seen: deque[Observation] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        space = self.prompter.action_space
        if not isinstance(space, gym.spaces.Box) or not space.is_bounded():
            raise InvalidConfig(
                f"only actions that are bounded numbers take a handicap, not {space}"
            )
        if self.noise < 0 or not 0 <= self.whim <= 1 or self.delay < 0:
            raise InvalidConfig(
                f"noise and delay must be 0 or more and whim 0 to 1, not noise={self.noise}, "
                f"delay={self.delay}, whim={self.whim}"
            )
        if np.size(self.bias) not in (1, space.shape[0]):
            raise InvalidConfig(
                f"a bias is one number, or {space.shape[0]} as an action has, not {self.bias}"
            )
        self._rng = np.random.default_rng(self.seed)
        self._seen = deque(maxlen=self.delay + 1)

    def for_episode(self, seed: int) -> Handicapped:
        """Makes one for an episode, of a policy made for it too."""
        return replace(self, seed=seed, policy=act_alone(self.policy, seed))

    def __call__(self, observation: Observation) -> Float32[np.ndarray, " action"]:
        """Chooses an action: float32 (n,), within the action space."""
        space, rng = self.prompter.action_space, self._rng
        assert isinstance(space, gym.spaces.Box)  # checked when it was made
        self._seen.append(observation)
        action = np.asarray(self.policy(self._seen[0]), np.float64)
        width = space.high.astype(np.float64) - space.low
        action = action + width * (
            np.asarray(self.bias) + self.noise * rng.normal(size=width.shape)
        )
        if rng.random() < self.whim:
            action = rng.uniform(space.low, space.high)
        return np.clip(action, space.low, space.high).astype(np.float32)
