"""Looks for plans that reach the goal or avoid the failure, as the scenario scores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.errors import InvalidConfig
from chronosim.whatif.actions import ActionKey, action_key
from chronosim.whatif.grower import Grower
from chronosim.whatif.plan import Plan
from chronosim.whatif.proposals import BoxProposals, ChoiceProposals, Proposals, UniformProposals
from chronosim.whatif.tree import Branch, Tree

__all__ = ["METHODS", "Search"]

METHODS = ("random", "cem")
"""How plans are looked for: by random shooting, or by the cross-entropy method."""

_TRIES = 20  # draws for each plan of a round, before the space counts as tried out


@dataclass(frozen=True, slots=True)
class Search:
    """How to look for plans.

    Random shooting draws every action alike. The cross-entropy method begins so, too, and draws
    each further round around the best plans of all rounds so far, given ones among them.

    Attributes:
        method: `random` or `cem`.
        steps: Of each plan, >= 1.
        budget: Predictions that the plans may need in all, >= `steps`.
        population: Plans in a round, >= 1: they are predicted together.
        elites: How many of the best plans a round is drawn around, >= 2.
        worst: Whether the plans of the lowest score are looked for: those that fail.

    Raises:
        InvalidConfig: There is no such method, or a number cannot be.

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
        if self.method not in METHODS:
            raise InvalidConfig(
                f"plans are searched for by {' or '.join(METHODS)}, not {self.method!r}"
            )
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
        """Searches until the budget is spent, or every plan was tried.

        Args:
            grower: Plays plans out and remembers them.
            space: The prompter's action space: Box, Discrete or MultiDiscrete.
            seed: Seed of the draws.
            first: Plans to try before any is drawn, such as a policy's.

        Returns:
            Every plan that was tried, in that order.

        Raises:
            InvalidConfig: There is no searching in such a space.
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
        """Gives the best branches (or the worst, where those are looked for), the first first.

        Args:
            tried: Branches.
            keep: How many at most.
        """
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
        """Draws plans that were not tried yet; fewer where there are hardly any left."""
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
    """What became of a plan, and all it would have done: a branch may have ended early."""

    branch: Branch
    plan: Sequence[Any]


def _filled(branch: Branch, steps: int) -> Sequence[Any]:
    """The actions of a branch, of a policy's for instance, as a plan of some length."""
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
