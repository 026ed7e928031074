"""Agreement of two scores of the same policies: correlation, rank violations, what chance gives.

Scores are float64 (*sets, policies): what goes before the policies is computed side by side, so
that thousands of resamples are one call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = [
    "Interval",
    "fisher_interval",
    "leave_one_out",
    "means",
    "mmrv",
    "pearson",
    "percentiles",
    "permutation_floor",
    "spearman",
]

Scores = Float[np.ndarray, "*sets policies"]
Values = Float[np.ndarray, "*sets"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and how sure it is.

    Attributes:
        value: The figure; NaN where it is undefined.
        low: Lower end of its 95% interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """The figure and its interval, two digits each."""
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    @property
    def signed(self) -> str:
        """The same of a difference, with its sign."""
        return f"{self.value:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


def means(scores: Float[np.ndarray, "*sets starts"]) -> Values:
    """Means over starts, rounded: rounding errors shall not order policies that did the same."""
    return scores.mean(axis=-1).round(9)


def pearson(*, reference: Scores, model: Scores) -> Values:
    """Pearson's correlation.

    Args:
        reference: Scores in the reference simulator, float64 (*sets, policies).
        model: Scores of the same policies in the world model, of the same shape.

    Returns:
        -1 to 1, float64 (*sets); NaN where all scores are alike.
    """
    ours = model - model.mean(axis=-1, keepdims=True)
    theirs = reference - reference.mean(axis=-1, keepdims=True)
    sizes = np.sqrt((ours**2).sum(axis=-1) * (theirs**2).sum(axis=-1))
    # Rounding leaves a trace of a spread where there is none.
    known = sizes > 1e-12
    products = (ours * theirs).sum(axis=-1)
    return np.asarray(np.where(known, products / np.where(known, sizes, 1.0), math.nan))


def spearman(*, reference: Scores, model: Scores) -> Values:
    """Spearman's rank correlation: Pearson's of the ranks, those of equal scores averaged.

    Args:
        reference: Scores in the reference simulator, float64 (*sets, policies).
        model: Scores of the same policies in the world model, of the same shape.

    Returns:
        -1 to 1, float64 (*sets); NaN where all scores are alike.
    """
    return pearson(reference=_ranks(reference), model=_ranks(model))


def mmrv(*, reference: Scores, model: Scores) -> Values:
    """Mean maximum rank violation: how much is lost, at worst, by believing the model's order.

    For each policy i the largest |R_i - R_j| over all j that the model orders otherwise than the
    reference, averaged over i. Orders are compared strictly, (M_i > M_j) != (R_i > R_j), so a tie
    in one alone violates the order of one of the two. R weighs the violations: exchanging the two
    scores gives another figure, hence keywords only.

    Args:
        reference: Scores in the reference simulator, R, float64 (*sets, policies).
        model: Scores of the same policies in the world model, M, of the same shape.

    Returns:
        0 (the same order) to the range of R, in units of R, float64 (*sets).

    Source: SIMPLER (arXiv 2405.05941), section 4; the convention for ties is that of its code,
    simpler_env/utils/metrics.py, mean_maximum_rank_violation(perf_sim, perf_real).
    """
    violated = (model[..., :, None] > model[..., None, :]) != (
        reference[..., :, None] > reference[..., None, :]
    )
    apart = np.abs(reference[..., :, None] - reference[..., None, :])
    return np.asarray(np.where(violated, apart, 0.0).max(axis=-1).mean(axis=-1))


def fisher_interval(r: float, policies: int, z: float = 1.96) -> Interval:
    """The 95% interval of a Pearson correlation by Fisher's z; unbounded below four policies.

    Source: Fisher 1921; atanh(r) is nearly normal with a deviation of 1 / sqrt(policies - 3).
    """
    if policies < 4 or math.isnan(r):
        return Interval(r, -1.0, 1.0)
    middle = math.atanh(min(max(r, -1 + 1e-12), 1 - 1e-12))
    half = z / math.sqrt(policies - 3)
    return Interval(r, math.tanh(middle - half), math.tanh(middle + half))


def percentiles(value: float, resampled: Float[np.ndarray, " resamples"]) -> Interval:
    """The 95% interval between percentiles of resampled figures; those undefined are left out."""
    known = resampled[~np.isnan(resampled)]
    if not known.size:
        return Interval(value, math.nan, math.nan)
    low, high = np.percentile(known, (2.5, 97.5))
    return Interval(value, float(low), float(high))


def permutation_floor(policies: int, permutations: int) -> float:
    """The smallest p that so few policies, and so many drawn permutations, can show.

    There are policies! orders, and one of them is the right one; of n drawn permutations the order
    found counts as one itself, so that p is 1 / (n + 1) at least.
    """
    return max(1 / math.factorial(policies), 1 / (permutations + 1))


def leave_one_out(
    *,
    reference: Float[np.ndarray, " policies"],
    model: Float[np.ndarray, " policies"],
    groups: list[str],
) -> dict[str, float]:
    """Gives Pearson's correlation without each group of policies.

    Args:
        reference: Scores in the reference simulator.
        model: Scores in the world model.
        groups: Of each policy: its name, to leave out one at a time, or its make.

    Returns:
        The correlation without a group, by its name; NaN where fewer than three policies are left.
    """
    found = {}
    for group in dict.fromkeys(groups):
        rest = np.array([other != group for other in groups])
        few = rest.sum() < 3
        r = math.nan if few else float(pearson(reference=reference[rest], model=model[rest]))
        found[group] = r
    return found


def _ranks(scores: Scores) -> Scores:
    """From 0; equal scores share the mean of their ranks."""
    below = scores[..., None, :] < scores[..., :, None]
    equal = scores[..., None, :] == scores[..., :, None]
    return np.asarray(below.sum(axis=-1) + (equal.sum(axis=-1) - 1) / 2, np.float64)
