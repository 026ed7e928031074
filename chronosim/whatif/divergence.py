"""How far the branches of a tree are apart, step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from chronosim.metrics.pixels import psnr, squared_error
from chronosim.whatif.tree import Tree

__all__ = ["Divergence", "measure"]


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
        """The same as a peak signal-to-noise ratio, dB: infinite for equal frames.

        Args:
            one: Index of a branch.
            other: Index of another.
            step: Which step, from 0 on.
        """
        rms = float(self.rms[one, other, step])
        return math.nan if math.isnan(rms) else psnr(rms**2)

    def first(self, one: int, other: int, apart: float) -> int | None:
        """Tells the first step at which two branches differ.

        Args:
            one: Index of a branch.
            other: Index of another.
            apart: RMS grey levels from which frames count as different.

        Returns:
            Counted from 1; None if they never differ while both go on.
        """
        with np.errstate(invalid="ignore"):
            differ = np.flatnonzero(self.rms[one, other] >= apart)
        return int(differ[0]) + 1 if differ.size else None

    def rows(self) -> Iterator[tuple[str, str, int, float, float]]:
        """Gives every two branches at every step that both took.

        Yields:
            The two names, the step (from 1 on), the RMS in grey levels and the PSNR in dB.
        """
        for one, other in zip(*np.triu_indices(len(self.names), 1), strict=True):
            for step, rms in enumerate(self.rms[one, other]):
                if not math.isnan(rms):
                    figures = float(rms), self.psnr(int(one), int(other), step)
                    yield self.names[one], self.names[other], step + 1, *figures


def measure(tree: Tree) -> Divergence:
    """Measures how far the branches of a tree are apart.

    Args:
        tree: Any; branches that share a step differ by 0 there.
    """
    count = len(tree)
    rms = np.full((count, count, tree.depth), np.nan)
    for one in range(count):
        for other in range(one, count):
            pairs = zip(tree.branches[one].steps, tree.branches[other].steps, strict=False)
            for step, (a, b) in enumerate(pairs):
                error = 0.0 if a is b else squared_error(a.after.frame, b.after.frame)
                rms[one, other, step] = rms[other, one, step] = math.sqrt(error)
    return Divergence(tuple(branch.name for branch in tree.branches), rms)
