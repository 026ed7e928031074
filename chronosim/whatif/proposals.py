"""Where a search draws its plans from, and how the good ones change that."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from jaxtyping import Float64

from chronosim.errors import InvalidConfig

__all__ = ["BoxProposals", "ChoiceProposals", "Proposals", "UniformProposals"]

_FLOOR = 0.05  # of a number's range: the deviation never falls below it
_LEFT = 0.1  # of each choice's probability stays spread over all choices


@runtime_checkable
class Proposals(Protocol):
    """A distribution over plans."""

    def draw(self, rng: np.random.Generator) -> list[Any]:
        """Draws a plan: an action of the space for each step."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class UniformProposals:
    """Every action alike, at each step anew.

    Attributes:
        space: Any that can be sampled.
        steps: Of each plan.
    """

    space: gym.Space[Any]
    steps: int

    def draw(self, rng: np.random.Generator) -> list[Any]:
        """Draws a plan."""
        space = deepcopy(self.space)  # seeding a prompter's own would change what it draws next
        space.seed(int(rng.integers(2**31)))
        return [space.sample() for _ in range(self.steps)]


@dataclass(frozen=True, slots=True, eq=False)
class BoxProposals:
    """Numbers around the plans that did best: at each step a normal distribution for each number.

    Attributes:
        space: The action space.
        mean: float64 (steps, *shape).
        deviation: float64 (steps, *shape).
    """

    space: gym.spaces.Box
    mean: Float64[np.ndarray, "steps ..."]
    deviation: Float64[np.ndarray, "steps ..."]

    @staticmethod
    def fit(space: gym.spaces.Box, plans: Sequence[Sequence[Any]]) -> BoxProposals:
        """Fits the distribution to plans, all of one length.

        Raises:
            InvalidConfig: The space has no bounds.
        """
        if not space.is_bounded():
            raise InvalidConfig(f"plans can be searched for in bounded spaces only, not {space}")
        values = np.array(plans, np.float64)
        floor = _FLOOR * (space.high.astype(np.float64) - space.low)
        return BoxProposals(space, values.mean(0), np.maximum(values.std(0), floor))

    def draw(self, rng: np.random.Generator) -> list[Any]:
        """Draws a plan; what falls out of the space's bounds is set to them."""
        drawn = rng.normal(self.mean, self.deviation)
        if np.issubdtype(self.space.dtype, np.integer):
            drawn = drawn.round()
        inside = np.clip(drawn, self.space.low, self.space.high)
        return list(inside.astype(self.space.dtype))


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceProposals:
    """Choices as often as among the plans that did best: at each step a share for each.

    Attributes:
        space: The action space.
        shares: For each of the space's numbers float64 (steps, choices), each row summing to 1.
    """

    space: gym.spaces.Discrete[Any] | gym.spaces.MultiDiscrete[Any]
    shares: Sequence[Float64[np.ndarray, "steps _"]]

    @staticmethod
    def fit(
        space: gym.spaces.Discrete[Any] | gym.spaces.MultiDiscrete[Any],
        plans: Sequence[Sequence[Any]],
    ) -> ChoiceProposals:
        """Fits the distribution to plans, all of one length."""
        counts = np.atleast_1d(space.n if isinstance(space, gym.spaces.Discrete) else space.nvec)
        values = np.array(plans, np.int64).reshape(len(plans), len(plans[0]), -1)
        values = values - np.ravel(space.start)
        shares = []
        for index, count in enumerate(np.ravel(counts)):
            share = np.eye(int(count))[values[:, :, index]].mean(0)
            shares.append((1 - _LEFT) * share + _LEFT / count)
        return ChoiceProposals(space, shares)

    def draw(self, rng: np.random.Generator) -> list[Any]:
        """Draws a plan."""
        steps = len(self.shares[0])
        drawn = np.array(
            [[rng.choice(len(share[s]), p=share[s]) for share in self.shares] for s in range(steps)]
        )
        if isinstance(self.space, gym.spaces.Discrete):
            return [int(value) + int(self.space.start) for value in drawn[:, 0]]
        shape = self.space.nvec.shape
        return [(row.reshape(shape) + self.space.start).astype(self.space.dtype) for row in drawn]
