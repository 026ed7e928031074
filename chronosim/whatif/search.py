"""Searches for plans of a high or a low score: random shooting and the cross-entropy method."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from jaxtyping import Float64

from chronosim.errors import InvalidConfig
from chronosim.whatif.grower import ActionKey, Grower, action_key
from chronosim.whatif.plans import Plan
from chronosim.whatif.tree import Branch, Tree

_TRIES = 20  # draws for each plan of a round, before the space counts as tried out


@dataclass(frozen=True, slots=True)
class Search:
    """A search for plans.

    Random shooting draws actions uniformly. So does the cross-entropy method in its first round; it
    samples later rounds around the elites, the best plans of all rounds so far and of those given.

    Attributes:
        method: `random` or `cem`.
        steps: Steps of each plan, >= 1.
        budget: Predictions for all plans together, >= `steps`.
        population: Plans in a round, >= 1; they are predicted together.
        elites: Number of elites, >= 2.
        worst: Whether to look for the lowest score: plans that fail.

    Raises:
        InvalidConfig: There is no such method, or a number is out of range.

    Source: Rubinstein and Kroese, "The Cross-Entropy Method" (2004); keeping the best plans of all
        rounds as in Pinneri et al., "Sample-efficient cross-entropy method for real-time planning"
        (2020).
    """

    method: str = "cem"
    steps: int = 5
    budget: int = 200
    population: int = 8
    elites: int = 4
    worst: bool = False

    def __post_init__(self) -> None:
        if self.method not in ("random", "cem"):
            raise InvalidConfig(f"plans are searched for by random or cem, not {self.method!r}")
        for name, least in (("steps", 1), ("population", 1), ("elites", 2)):
            if getattr(self, name) < least:
                raise InvalidConfig(
                    f"a search needs {name} of at least {least}, not {getattr(self, name)}"
                )
        if self.budget < self.steps:
            raise InvalidConfig(
                f"a budget of {self.budget} predictions is not enough for one plan of "
                f"{self.steps} steps"
            )

    def run(
        self, grower: Grower, space: gym.Space[Any], *, seed: int, first: Sequence[Plan] = ()
    ) -> list[Branch]:
        """Searches until the budget is spent or every plan was tried.

        Args:
            grower: Plays plans out and remembers them.
            space: The prompter's action space: Box, Discrete or MultiDiscrete.
            seed: Of the draws.
            first: Plans to try first, such as a policy's.

        Returns:
            All plans in the order they were tried.

        Raises:
            InvalidConfig: The space cannot be searched.
            ChronosimError: As `Grower.grow`.
        """
        _check(space)
        tried = [_Tried(branch, _filled(branch, self.steps)) for branch in grower.grow(first)]
        known = {_key(one.plan) for one in tried}
        for turn in count(1):
            branches = [one.branch for one in tried]
            left = self.budget - Tree(grower.root, tuple(branches)).predictions
            wanted = min(self.population, left // self.steps)
            if wanted < 1:
                break
            rng = np.random.default_rng((seed, turn))
            drawn = self._draw(self._proposals(space, tried), rng, wanted, known)
            if not drawn:
                break
            names = [f"{self.method} {turn}.{number}" for number in range(1, len(drawn) + 1)]
            grown = grower.grow([Plan.of(*plan) for plan in zip(names, drawn, strict=True)])
            tried += [_Tried(*one) for one in zip(grown, drawn, strict=True)]
        return branches

    def best(self, tried: Sequence[Branch], keep: int) -> list[Branch]:
        """Sorts branches, the best (with `worst` the worst) first, and gives at most `keep`."""
        return sorted(tried, key=lambda branch: self._sign * branch.score)[:keep]

    @property
    def _sign(self) -> int:
        return 1 if self.worst else -1

    def _proposals(self, space: gym.Space[Any], tried: Sequence[_Tried]) -> Proposals:
        if self.method == "random" or len(tried) < max(self.elites, self.population):
            return UniformProposals(space, self.steps)
        ranked = sorted(tried, key=lambda one: self._sign * one.branch.score)
        elites = [one.plan for one in ranked[: self.elites]]
        if isinstance(space, gym.spaces.Box):
            return BoxProposals.fit(space, elites)
        assert isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete)
        return ChoiceProposals.fit(space, elites)

    def _draw(
        self, proposals: Proposals, rng: np.random.Generator, wanted: int, known: set[Any]
    ) -> list[list[Any]]:
        """Draws plans that were not tried yet; fewer where hardly any are left."""
        plans: list[list[Any]] = []
        for _ in range(_TRIES * wanted):
            plan = proposals.draw(rng)
            if _key(plan) not in known:
                known.add(_key(plan))
                plans.append(plan)
            if len(plans) == wanted:
                break
        return plans


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """A branch with its whole plan: the branch may have ended early."""

    branch: Branch
    plan: Sequence[Any]


def _filled(branch: Branch, steps: int) -> Sequence[Any]:
    """The actions of a branch, cut or filled up to the length of a plan."""
    missing = max(0, steps - len(branch.steps))
    return [*branch.actions[:steps], *branch.actions[-1:] * missing]


def _key(actions: Sequence[Any]) -> tuple[ActionKey, ...]:
    return tuple(map(action_key, actions))


def _check(space: gym.Space[Any]) -> None:
    kinds = gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiDiscrete
    if not isinstance(space, kinds) or (
        isinstance(space, gym.spaces.Box) and not space.is_bounded()
    ):
        raise InvalidConfig(
            "plans can be searched for in a bounded Box, in Discrete or MultiDiscrete, "
            f"not in {space}"
        )


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
    """Every action is equally likely, at each step anew.

    Attributes:
        space: Any that can be sampled.
        steps: Steps of each plan.
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
    """A normal distribution for each number at each step, fitted to the elites.

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
        """Fits the distribution to plans of one length.

        Raises:
            InvalidConfig: The space has no bounds.
        """
        if not space.is_bounded():
            raise InvalidConfig(f"plans can be searched for in bounded spaces only, not {space}")
        values = np.array(plans, np.float64)
        floor = _FLOOR * (space.high.astype(np.float64) - space.low)
        return BoxProposals(space, values.mean(0), np.maximum(values.std(0), floor))

    def draw(self, rng: np.random.Generator) -> list[Any]:
        """Draws a plan, clipped to the space's bounds."""
        drawn = rng.normal(self.mean, self.deviation)
        if np.issubdtype(self.space.dtype, np.integer):
            drawn = drawn.round()
        inside = np.clip(drawn, self.space.low, self.space.high)
        return list(inside.astype(self.space.dtype))


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceProposals:
    """A probability for each choice at each step, fitted to the elites.

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
        """Fits the distribution to plans of one length."""
        counts = np.atleast_1d(space.n if isinstance(space, gym.spaces.Discrete) else space.nvec)
        values = np.array(plans, np.int64).reshape(len(plans), len(plans[0]), -1)
        values = values - np.ravel(space.start)
        shares = []
        for index, values_of_one in enumerate(np.ravel(counts)):
            share = np.eye(int(values_of_one))[values[:, :, index]].mean(0)
            shares.append((1 - _LEFT) * share + _LEFT / values_of_one)
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
