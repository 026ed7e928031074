"""What became of several plans from one moment: branches that share steps, and how they diverge."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from chronosim.episodes import Step
from chronosim.errors import InvalidConfig
from chronosim.metrics.pixels import psnr, squared_error
from chronosim.types import Observation


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One plan, played out.

    Attributes:
        name: Of the plan.
        steps: The steps taken; fewer than planned if the scenario ended the branch. Branches that
            begin alike hold the very same objects.
        planned: Steps of the plan.
    """

    name: str
    steps: tuple[Step, ...]
    planned: int

    @property
    def ended(self) -> bool:
        """Whether the scenario ended it, at the goal or by a failure."""
        return bool(self.steps) and self.steps[-1].terminated

    @property
    def score(self) -> float:
        """Mean reward of the plan's steps; NaN without any.

        An ended branch keeps its last reward for the rest of its plan, so that reaching the goal
        early scores higher than reaching it late, and failing early lower.
        """
        rewards = [step.reward for step in self.steps]
        if self.ended:
            rewards += [rewards[-1]] * (self.planned - len(rewards))
        return float(np.mean(rewards)) if rewards else float("nan")

    @property
    def actions(self) -> list[Any]:
        """The actions that were taken."""
        return [step.action for step in self.steps]


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One moment and its futures.

    Attributes:
        root: The moment.
        branches: In the order their plans were given.
    """

    root: Observation
    branches: tuple[Branch, ...]

    def __len__(self) -> int:
        return len(self.branches)

    def __getitem__(self, name: str) -> Branch:
        """Gives a branch by its name.

        Raises:
            InvalidConfig: There is no branch of that name.
        """
        for branch in self.branches:
            if branch.name == name:
                return branch
        known = ", ".join(branch.name for branch in self.branches)
        raise InvalidConfig(f"the tree has no branch {name!r}; it has: {known}")

    @property
    def depth(self) -> int:
        """Steps of the longest branch."""
        return max((len(branch.steps) for branch in self.branches), default=0)

    @property
    def predictions(self) -> int:
        """Number of steps, shared ones counted once."""
        return len({id(step) for branch in self.branches for step in branch.steps})

    def frames(self, branch: Branch) -> UInt8[np.ndarray, "steps height width 3"]:
        """Gives the outcomes of a branch's steps, uint8 (steps, height, width, 3)."""
        outcomes = np.array([step.after.frame for step in branch.steps], np.uint8)
        return outcomes.reshape(-1, *self.root.frame.shape)

    def split(self, index: int) -> tuple[int | None, int]:
        """Tells where the branch of an index leaves those before it.

        Returns:
            The index of the earlier branch that it shares most steps with (the first of several;
            None: it shares none), and how many steps they share.
        """
        own = self.branches[index].steps
        found: tuple[int | None, int] = None, 0
        for earlier, branch in enumerate(self.branches[:index]):
            shared = _shared(own, branch.steps)
            if shared > found[1]:
                found = earlier, shared
        return found

    def ranked(self, *, worst: bool = False) -> list[Branch]:
        """Gives the branches by score, the highest (or, with `worst`, the lowest) first."""
        scored = [branch for branch in self.branches if branch.steps]
        return sorted(scored, key=lambda branch: branch.score * (1 if worst else -1))


def _shared(ours: Sequence[Step], theirs: Sequence[Step]) -> int:
    """How many steps from the root on two branches share."""
    for count, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one is not other:
            return count
    return min(len(ours), len(theirs))


@dataclass(frozen=True, slots=True, eq=False)
class Divergence:
    """Differences between the outcomes of every two branches.

    Attributes:
        names: Of the branches.
        rms: Root of the mean squared difference, grey levels: float64 (branches, branches, steps);
            NaN where one of the two had ended.
    """

    names: tuple[str, ...]
    rms: Float64[np.ndarray, "branches branches steps"]

    def psnr(self, one: int, other: int, step: int) -> float:
        """Peak signal-to-noise ratio of two branches at a step (from 0 on), dB; infinite if equal.

        Args:
            one: Index of a branch.
            other: Index of another.
            step: The step.
        """
        rms = float(self.rms[one, other, step])
        return math.nan if math.isnan(rms) else psnr(rms**2)

    def first(self, one: int, other: int, apart: float) -> int | None:
        """Tells the first step, counted from 1, at which two branches differ; None: they never do.

        Args:
            one: Index of a branch.
            other: Index of another.
            apart: RMS grey levels from which frames count as different.
        """
        with np.errstate(invalid="ignore"):
            differ = np.flatnonzero(self.rms[one, other] >= apart)
        return int(differ[0]) + 1 if differ.size else None

    def rows(self) -> Iterator[tuple[str, str, int, float, float]]:
        """Yields every two branches at every step that both took.

        Yields:
            Both names, the step (from 1 on), the RMS in grey levels and the PSNR in dB.
        """
        for one, other in zip(*np.triu_indices(len(self.names), 1), strict=True):
            for step, rms in enumerate(self.rms[one, other]):
                if not math.isnan(rms):
                    figures = float(rms), self.psnr(int(one), int(other), step)
                    yield self.names[one], self.names[other], step + 1, *figures


def measure(tree: Tree) -> Divergence:
    """Measures how far the branches of a tree are apart; 0 at steps that they share."""
    count = len(tree)
    rms = np.full((count, count, tree.depth), np.nan)
    for one in range(count):
        for other in range(one, count):
            pairs = zip(tree.branches[one].steps, tree.branches[other].steps, strict=False)
            for step, (a, b) in enumerate(pairs):
                error = 0.0 if a is b else squared_error(a.after.frame, b.after.frame)
                rms[one, other, step] = rms[other, one, step] = math.sqrt(error)
    return Divergence(tuple(branch.name for branch in tree.branches), rms)
