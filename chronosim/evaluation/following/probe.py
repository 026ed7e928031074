"""An inverse-dynamics probe: a small network that tells the action from the frames around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float, Float32, UInt8
from torch.nn import functional as F

from chronosim.adapters.policies.regression import FrameRegressor, fit, forecast
from chronosim.errors import InvalidConfig

__all__ = ["Probe", "learn_probe", "probes_for"]

Frames = UInt8[np.ndarray, "n height width 3"]


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Tells actions from frames before and after, as it learned from true ones.

    Attributes:
        network: Two frames in; numbers, or the odds of choices, out.
        space: The actions that there are.
        mean: Of each number of the actions learned from, float32 (n,); empty for choices.
        spread: Their deviations.
        pairs: How many pairs of frames it learned from.
    """

    network: FrameRegressor
    space: gym.Space[Any]
    mean: Float32[np.ndarray, " n"]
    spread: Float32[np.ndarray, " n"]
    pairs: int

    def read(self, before: Frames, after: Frames) -> np.ndarray:
        """Tells the actions: float32 (pairs, n), or of choices their ids, int64 (pairs,)."""
        told = forecast(self.network, _stack(before, after), _no_vectors(len(before)))
        if isinstance(self.space, gym.spaces.Discrete):
            return told.argmax(axis=1) + int(self.space.start)
        return told * self.spread + self.mean

    def recovered(
        self, before: Frames, after: Frames, actions: Sequence[Any]
    ) -> Float[np.ndarray, " figures"]:
        """How much of the actions it tells from frames: R² of each number, or a share of choices.

        R² is 1 minus the squared error over that of the mean of these actions: 1 is all, 0 is
        nothing, below 0 is worse than nothing.
        """
        return self.share(np.asarray(actions), self.read(before, after))

    def share(self, true: np.ndarray, told: np.ndarray) -> Float[np.ndarray, " figures"]:
        """The same from what was done and what was told."""
        if isinstance(self.space, gym.spaces.Discrete):
            return np.array([np.mean(told == true)])
        return _r_squared(true.astype(np.float64), told.astype(np.float64))


def probes_for(space: gym.Space[Any]) -> bool:
    """Whether there is a probe for actions: for numbers and choices, not for words."""
    flat = isinstance(space, gym.spaces.Box) and len(space.shape) == 1
    return flat or isinstance(space, gym.spaces.Discrete)


def learn_probe(
    before: Frames,
    after: Frames,
    actions: Sequence[Any],
    *,
    space: gym.Space[Any],
    width: int = 24,
    epochs: int = 16,
    seed: int = 0,
    progress: Callable[[], object] | None = None,
) -> Probe:
    """Learns a probe from true frames; some 1,000 pairs take about half a minute on a CPU.

    Args:
        before: Frames before each action.
        after: Frames after it.
        actions: What was done.
        space: The actions that there are: vectors, or choices.
        width: Channels of the network's first layer.
        epochs: Passes over the pairs.
        seed: Of the first weights and the order of the pairs.
        progress: Called after each pass.

    Raises:
        InvalidConfig: There is no probe for such actions.
    """
    if not probes_for(space):
        raise InvalidConfig(f"a probe tells numbers or choices from frames, not {space}")
    choices = isinstance(space, gym.spaces.Discrete)
    none = np.zeros(0, np.float32)
    if isinstance(space, gym.spaces.Discrete):
        targets = np.asarray(actions, np.int64) - int(space.start)
        outputs, mean, spread = int(space.n), none, none
    else:
        numbers = np.asarray(actions, np.float32)
        mean, spread = numbers.mean(axis=0), numbers.std(axis=0) + np.float32(1e-6)
        targets, outputs = (numbers - mean) / spread, numbers.shape[1]
    network = FrameRegressor(9, 0, outputs, width=width, seed=seed)
    fit(
        network,
        _stack(before, after),
        _no_vectors(len(before)),
        targets,
        epochs=epochs,
        seed=seed,
        loss=F.cross_entropy if choices else F.mse_loss,
        progress=progress,
    )
    return Probe(network, space, mean, spread, len(before))


def _r_squared(
    true: Float[np.ndarray, "n size"], told: Float[np.ndarray, "n size"]
) -> Float[np.ndarray, " size"]:
    """R² of each number; 0 where a number never changes."""
    spread = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    error = ((true - told) ** 2).sum(axis=0)
    return np.asarray(np.where(spread > 1e-12, 1 - error / np.where(spread > 0, spread, 1.0), 0.0))


def _stack(before: Frames, after: Frames) -> UInt8[np.ndarray, "n height width 9"]:
    """Both, and half their difference around grey: what moves is what tells the action."""
    moved = (after.astype(np.int16) - before) // 2 + 128
    return np.concatenate([before, after, moved.astype(np.uint8)], axis=-1)


def _no_vectors(count: int) -> Float32[np.ndarray, "n 0"]:
    return np.zeros((count, 0), np.float32)
