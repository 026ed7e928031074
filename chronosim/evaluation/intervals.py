"""Figures with 95% intervals, by resampling what was judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["Figure", "ratio", "resample"]

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its 95% interval.

    Attributes:
        value: The figure.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def resample(values: Float[np.ndarray, " items"], seed: int = 0) -> Figure:
    """Gives the mean of values and its bootstrap interval."""
    means = values[_draws(len(values), seed)].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Figure(float(values.mean()), float(low), float(high))


def ratio(
    above: Float[np.ndarray, " items"], below: Float[np.ndarray, " items"], seed: int = 0
) -> Figure:
    """Gives the ratio of two sums over the same items, and its bootstrap interval.

    Where below sums up to 0 it is infinite, or 1 where above does so too.
    """
    draws = _draws(len(above), seed)
    ratios = _divided(above[draws].sum(axis=1), below[draws].sum(axis=1))
    low, high = np.percentile(ratios, (2.5, 97.5), method="nearest")
    value = _divided(above.sum(keepdims=True), below.sum(keepdims=True))[0]
    return Figure(float(value), float(low), float(high))


def _draws(items: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, items, (_RESAMPLES, items))


def _divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    some = below > 0
    return np.where(some, above / np.where(some, below, 1.0), np.where(above > 0, np.inf, 1.0))
