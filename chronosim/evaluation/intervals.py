"""Figures with 95% intervals, by resampling what was judged; of shares, Wilson's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

_RESAMPLES = 2000


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

    @property
    def percent(self) -> str:
        """The same of a share of 1."""
        return f"{self.value:.0%} ({self.low:.0%} to {self.high:.0%})"


def resample(values: Float[np.ndarray, " items"], seed: int = 0) -> Interval:
    """Gives the mean of values and its bootstrap interval."""
    means = values[_draws(len(values), seed)].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high))


def ratio(
    above: Float[np.ndarray, " items"], below: Float[np.ndarray, " items"], seed: int = 0
) -> Interval:
    """Gives the ratio of two sums over the same items, and its bootstrap interval.

    Where below sums up to 0 it is infinite, or 1 where above does so too.
    """
    draws = _draws(len(above), seed)
    ratios = _divided(above[draws].sum(axis=1), below[draws].sum(axis=1))
    low, high = np.percentile(ratios, (2.5, 97.5), method="nearest")
    value = _divided(above.sum(keepdims=True), below.sum(keepdims=True))[0]
    return Interval(float(value), float(low), float(high))


def _draws(items: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, items, (_RESAMPLES, items))


def _divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    some = below > 0
    return np.where(some, above / np.where(some, below, 1.0), np.where(above > 0, np.inf, 1.0))


@dataclass(frozen=True, slots=True)
class Share:
    """How often something came true.

    Attributes:
        share: 0 to 1.
        low: Lower end of its 95% Wilson interval.
        high: Upper end.
    """

    share: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, trials: int) -> Share:
        """So many of so many."""
        return cls(hits / trials, *wilson_interval(hits, trials))

    def __str__(self) -> str:
        """The share and its interval."""
        return f"{self.share:.0%} ({self.low:.0%} to {self.high:.0%})"


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927): it stays within 0 and 1 also for few trials."""
    share = successes / trials
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    return max(middle - half, 0.0), min(middle + half, 1.0)


_STEP_RESAMPLES = 1000

PerEpisode = Float64[np.ndarray, "steps episodes"]


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure after each step; intervals are 95%, by the bootstrap over episodes.

    Attributes:
        values: After each step.
        low: Lower end of each one's interval.
        high: Upper end.
        mean: Over all steps.
        mean_low: Lower end of its interval.
        mean_high: Upper end.
    """

    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: float
    mean_low: float
    mean_high: float


def resample_steps(*measured: PerEpisode, of: Callable[..., Any]) -> Curve:
    """Makes a curve of what was measured in each episode.

    All curves of as many episodes are made by the same draws.

    Args:
        *measured: One or more arrays of one shape, (steps, episodes).
        of: From their means over episodes to the figure, element by element: such as `psnr` of a
            mean squared error.

    Returns:
        The figure of the means; episodes, not steps, are drawn with repetition.
    """
    episodes = measured[0].shape[1]
    draws = np.random.default_rng(0).integers(0, episodes, (_STEP_RESAMPLES, episodes))
    with np.errstate(invalid="ignore", divide="ignore"):  # figures of no error are infinite
        values = np.asarray(of(*(each.mean(1) for each in measured)), float)
        drawn = np.asarray(of(*(each[:, draws].mean(2) for each in measured)), float)
        low, high = _ends(drawn)
        mean_low, mean_high = _ends(drawn.mean(0))
        return Curve(
            values=tuple(values.tolist()),
            low=tuple(low.tolist()),
            high=tuple(high.tolist()),
            mean=float(values.mean()),
            mean_low=float(mean_low),
            mean_high=float(mean_high),
        )


def _ends(drawn: Float64[np.ndarray, "*steps draws"]) -> Any:
    """The ends of the middle 95%; `nearest`, for infinities cannot be interpolated."""
    return np.percentile(np.nan_to_num(drawn, posinf=np.inf), (2.5, 97.5), -1, method="nearest")
