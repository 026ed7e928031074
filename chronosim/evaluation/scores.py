"""Figures of predicted outcomes: how near to the truth, and to which truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import UInt8

from chronosim.evaluation.fidelity import psnr, squared_error
from chronosim.evaluation.moments import Moment
from chronosim.scenarios.road import DASHBOARD_ROW
from chronosim.types import Frame

__all__ = ["Scores", "score_outcomes", "wilson_interval"]


@dataclass(frozen=True, slots=True)
class Scores:
    """How one way of predicting outcomes did over a set of moments.

    Attributes:
        moments: How many.
        psnr: Of the squared error pooled over all moments, dB.
        psnr_moving: The same over the half of the moments with the larger true change.
        psnr_world: As `psnr`, the dashboard left out.
        following: Share of moments whose prediction lies nearest to its own true outcome.
        following_low: Lower end of the share's 95% Wilson interval.
        following_high: Upper end.
        following_world: As `following`, the dashboard left out.
        chance: The share that guessing would reach.
    """

    moments: int
    psnr: float
    psnr_moving: float
    psnr_world: float
    following: float
    following_low: float
    following_high: float
    following_world: float
    chance: float


def score_outcomes(moments: Sequence[Moment], predicted: Sequence[Frame]) -> Scores:
    """Scores predicted outcomes of the taken actions.

    Args:
        moments: At least two.
        predicted: One frame for each.
    """
    truth = [moment.outcomes[0] for moment in moments]
    pairs = list(zip(predicted, truth, strict=True))
    errors = np.array([squared_error(p, t) for p, t in pairs])
    world = np.array([squared_error(p[:DASHBOARD_ROW], t[:DASHBOARD_ROW]) for p, t in pairs])
    change = np.array([squared_error(m.observation.frame, m.outcomes[0]) for m in moments])
    moving = change >= np.median(change)
    judged = list(zip(predicted, moments, strict=True))
    followed = [_nearest(p, m.outcomes) == 0 for p, m in judged]
    followed_world = [
        _nearest(p[:DASHBOARD_ROW], m.outcomes[:, :DASHBOARD_ROW]) == 0 for p, m in judged
    ]
    low, high = wilson_interval(sum(followed), len(followed))
    return Scores(
        moments=len(moments),
        psnr=psnr(float(errors.mean())),
        psnr_moving=psnr(float(errors[moving].mean())),
        psnr_world=psnr(float(world.mean())),
        following=float(np.mean(followed)),
        following_low=low,
        following_high=high,
        following_world=float(np.mean(followed_world)),
        chance=1 / len(moments[0].outcomes),
    )


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927): it stays within 0 and 1 also for few trials."""
    share = successes / trials
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    return middle - half, middle + half


def _nearest(predicted: Frame, outcomes: UInt8[np.ndarray, "k height width 3"]) -> int:
    return int(np.argmin([squared_error(predicted, outcome) for outcome in outcomes]))
