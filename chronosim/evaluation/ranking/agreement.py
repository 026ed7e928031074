"""How well a world model's scores of policies agree with the reference simulator's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chronosim.errors import InvalidConfig
from chronosim.evaluation.intervals import Interval

Scores = Float[np.ndarray, "*sets policies"]
Values = Float[np.ndarray, "*sets"]


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


PerStart = Float[np.ndarray, "policies starts"]

_RESAMPLES = 2000
_PERMUTATIONS = 2000


@dataclass(frozen=True, slots=True)
class Chance:
    """What scores that have nothing to do with one another would show.

    Attributes:
        p: Share of permutations whose Pearson is as large as the one found, or larger.
        floor: The smallest p that could be found.
        mmrv: Mean MMRV of the permutations.
        mmrv_low: What only 5% of them fall below.
    """

    p: float
    floor: float
    mmrv: float
    mmrv_low: float


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """What a perfect model would show with as many episodes on starts of its own.

    The policies' true scores are taken to be the measured ones, drawn together by what of their
    spread is noise; two independent resamples of the starts' deviations are added to them, one for
    the reference, one for the model.

    Attributes:
        pearson: Mean correlation.
        pearson_low: What only 5% fall below.
        mmrv: Mean rank violation.
        mmrv_high: What only 5% exceed.

    Source: of the spread of means over n starts, 1 - MS_residual / MS_policies is no noise (Hoyt
    1941; Cronbach's alpha), which is also what two such sets of means correlate by on average.
    """

    pearson: float
    pearson_low: float
    mmrv: float
    mmrv_high: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Figures of agreement over one set of policies.

    Attributes:
        policies: How many.
        makes: Of how many makes.
        starts: Episodes of each policy on each side.
        pearson: Correlation; its interval resamples policies and starts.
        fisher: The same with Fisher's interval, which knows of the number of policies alone.
        by_make: The same, its interval resampling whole makes and starts.
        spearman: Rank correlation, resampled like `pearson`.
        mmrv: Mean maximum rank violation, in units of the reference's score, resampled alike; its
            resamples are moved so that their mean is the figure: a policy drawn twice violates no
            order with itself, and the starts' noise counts twice in them.
        chance: What unrelated scores would show.
        noise: What a perfect model would show.
        swing: By how much leaving out one policy moves Pearson at most.
        swing_policy: Index of that policy.
        make_swing: By how much leaving out one make does.
        swing_make: That make.
        distinct: Different scores among the policies, in the reference and in the model.
        standard_error: Of a policy's score over starts, mean over policies, reference and model.
    """

    policies: int
    makes: int
    starts: int
    pearson: Interval
    fisher: Interval
    by_make: Interval
    spearman: Interval
    mmrv: Interval
    chance: Chance
    noise: NoiseFloor
    swing: float
    swing_policy: int
    make_swing: float
    swing_make: str
    distinct: tuple[int, int]
    standard_error: tuple[float, float]


def agree(*, reference: PerStart, model: PerStart, makes: list[str], seed: int = 0) -> Agreement:
    """Compares scores of the same policies from the same starts.

    Args:
        reference: In the reference simulator, float64 (policies, starts).
        model: In the world model, of the same shape.
        makes: The make of each policy: those of one lineage count as one in `by_make`.
        seed: Of the resamples.

    Raises:
        InvalidConfig: The shapes differ, or there are fewer than three policies or two starts.
    """
    if reference.shape != model.shape or len(reference) != len(makes):
        raise InvalidConfig(
            f"scores of {len(makes)} policies must be two arrays (policies, starts) of one shape, "
            f"not {reference.shape} and {model.shape}"
        )
    policies, starts = reference.shape
    if policies < 3 or starts < 2:
        raise InvalidConfig(
            f"policies are ranked from 3 policies and 2 starts on, not from {policies} and {starts}"
        )
    rng = np.random.default_rng(seed)
    real, ours = means(reference), means(model)
    r = float(pearson(reference=real, model=ours))
    alike = _resample(reference, model, rng)
    by_make = np.array([_resample_makes(reference, model, makes, rng) for _ in range(_RESAMPLES)])
    without = leave_one_out(reference=real, model=ours, groups=[str(i) for i in range(policies)])
    without_make = leave_one_out(reference=real, model=ours, groups=makes)
    swing_policy, swing = _swing(without, r)
    swing_make, make_swing = _swing(without_make, r)
    return Agreement(
        policies=policies,
        makes=len(set(makes)),
        starts=starts,
        pearson=percentiles(r, pearson(reference=alike[0], model=alike[1])),
        fisher=fisher_interval(r, policies),
        by_make=percentiles(r, by_make),
        spearman=percentiles(
            float(spearman(reference=real, model=ours)),
            spearman(reference=alike[0], model=alike[1]),
        ),
        mmrv=_violations(real, ours, alike),
        chance=_chance(real, ours, rng),
        noise=_noise(reference, rng),
        swing=swing,
        swing_policy=int(swing_policy or 0),
        make_swing=make_swing,
        swing_make=swing_make,
        distinct=(len(np.unique(real)), len(np.unique(ours))),
        standard_error=(_standard_error(reference), _standard_error(model)),
    )


def _resample(
    reference: PerStart, model: PerStart, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mean scores of drawn policies over drawn starts, the same on both sides."""
    policies, starts = reference.shape
    drawn = rng.integers(0, policies, (_RESAMPLES, policies, 1))
    picked = (drawn, rng.integers(0, starts, (_RESAMPLES, 1, starts)))
    return means(reference[picked]), means(model[picked])


def _violations(
    real: np.ndarray, ours: np.ndarray, alike: tuple[np.ndarray, np.ndarray]
) -> Interval:
    value, drawn = float(mmrv(reference=real, model=ours)), mmrv(reference=alike[0], model=alike[1])
    return percentiles(value, np.maximum(drawn + (value - drawn.mean()), 0.0))


def _resample_makes(
    reference: PerStart, model: PerStart, makes: list[str], rng: np.random.Generator
) -> float:
    """Pearson over whole makes, drawn as many as there are, and drawn starts."""
    members = [np.flatnonzero(np.array(makes) == make) for make in dict.fromkeys(makes)]
    drawn = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
    starts = rng.integers(0, reference.shape[1], reference.shape[1])
    picked = np.ix_(drawn, starts)
    return float(pearson(reference=means(reference[picked]), model=means(model[picked])))


def _chance(real: np.ndarray, ours: np.ndarray, rng: np.random.Generator) -> Chance:
    order = rng.permuted(np.tile(np.arange(len(real)), (_PERMUTATIONS, 1)), axis=1)
    shuffled, fixed = ours[order], np.broadcast_to(real, order.shape)
    found = float(pearson(reference=real, model=ours))
    as_large = int((pearson(reference=fixed, model=shuffled) >= found - 1e-12).sum())
    violations = mmrv(reference=fixed, model=shuffled)
    return Chance(
        p=math.nan if math.isnan(found) else (1 + as_large) / (_PERMUTATIONS + 1),
        floor=permutation_floor(len(real), _PERMUTATIONS),
        mmrv=float(violations.mean()),
        mmrv_low=float(np.percentile(violations, 5)),
    )


def _noise(reference: PerStart, rng: np.random.Generator) -> NoiseFloor:
    means, number = reference.mean(axis=1), reference.shape[1]
    true = means.mean() + math.sqrt(_reliability(reference)) * (means - means.mean())
    away = reference - means[:, None]
    drawn = rng.integers(0, number, (2, _RESAMPLES, number))
    real, ours = ((true + away[:, starts].mean(axis=-1).T).round(9) for starts in drawn)
    correlations = pearson(reference=real, model=ours)
    correlations = correlations[~np.isnan(correlations)]
    violations = mmrv(reference=real, model=ours)
    return NoiseFloor(
        pearson=float(correlations.mean()) if correlations.size else math.nan,
        pearson_low=float(np.percentile(correlations, 5)) if correlations.size else math.nan,
        mmrv=float(violations.mean()),
        mmrv_high=float(np.percentile(violations, 95)),
    )


def _reliability(scores: PerStart) -> float:
    """The share of the spread of the policies' means that is no noise, 0 to 1."""
    policies, starts = scores.shape
    means = scores.mean(axis=1, keepdims=True)
    spread = starts * float(means.var(ddof=1))
    rest = scores - means - scores.mean(axis=0) + scores.mean()
    noise = float((rest**2).sum()) / ((policies - 1) * (starts - 1))
    return max(1 - noise / spread, 0.0) if spread > 1e-12 else 0.0


def _swing(without: dict[str, float], r: float) -> tuple[str, float]:
    """Which left-out group moves the correlation most, and by how much."""
    moves = {name: abs(other - r) for name, other in without.items() if not math.isnan(other - r)}
    if not moves:
        return "", math.nan
    most = max(moves, key=lambda name: moves[name])
    return most, moves[most]


def _standard_error(scores: PerStart) -> float:
    return float((scores.std(axis=1, ddof=1) / math.sqrt(scores.shape[1])).mean())
