"""Is each prediction nearest to its own truth? Over all actions, and against how far truths lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from chronosim.evaluation.following.bootstrap import Figure, resample
from chronosim.evaluation.outcomes.scores import Share, wilson_interval

__all__ = ["Retrieval", "Step", "distances", "retrieve"]

_BINS = 5


@dataclass(frozen=True, slots=True)
class Step:
    """How often predictions find their truth where truths lie so far apart.

    Attributes:
        margin: Mean distance from a truth to the nearest other one, RMS grey levels.
        share: How often.
    """

    margin: float
    share: Share


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """Which truth each prediction is nearest to.

    Attributes:
        taken: How often that of the taken action finds its own (Wilson's interval).
        every: The same over all actions; its interval resamples moments.
        guessing: What guessing finds.
        distinct: How many truths of a moment are found by some prediction, as a share; a model that
            ignores the action finds one.
        confusion: Share of moments at which the prediction of the i-th action is nearest to the
            truth of the j-th, float64 (actions, actions); actions in the order of their first
            number.
        curve: Against the margin, from near to far.
    """

    taken: Share
    every: Figure
    guessing: float
    distinct: float
    confusion: Float[np.ndarray, "actions actions"]
    curve: tuple[Step, ...]


def distances(
    ours: UInt8[np.ndarray, "moments actions *pixels"],
    theirs: UInt8[np.ndarray, "moments truths *pixels"],
) -> Float[np.ndarray, "moments actions truths"]:
    """Mean squared difference of every outcome of a moment to every one of another set.

    Args:
        ours: uint8 (moments, actions, height, width, 3).
        theirs: The same, with as many moments.

    Returns:
        Grey levels squared, float64 (moments, actions of ours, actions of theirs).
    """
    found = np.empty((len(ours), ours.shape[1], theirs.shape[1]))
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        pair = a.reshape(len(a), 1, -1).astype(np.float32), b.reshape(1, len(b), -1)
        found[index] = ((pair[0] - pair[1]) ** 2).mean(axis=-1)
    return found


def retrieve(
    errors: Float[np.ndarray, "moments actions truths"],
    apart: Float[np.ndarray, "moments actions truths"],
    actions: Sequence[Sequence[Any]],
) -> Retrieval:
    """Finds for each prediction the nearest truth of its moment.

    Args:
        errors: From each prediction to each truth, as `distances` gives it.
        apart: From each truth to each.
        actions: Of each moment.
    """
    moments, number, _ = errors.shape
    nearest = errors.argmin(axis=2)
    hits = nearest == np.arange(number)
    first = int(hits[:, 0].sum())
    found = [len(set(row)) for row in nearest.tolist()]
    return Retrieval(
        taken=Share(first / moments, *wilson_interval(first, moments)),
        every=resample(hits.mean(axis=1)),
        guessing=1 / number,
        distinct=float(np.mean(found)) / number,
        confusion=_confusion(nearest, actions),
        curve=_curve(hits, apart),
    )


def _confusion(
    nearest: np.ndarray, actions: Sequence[Sequence[Any]]
) -> Float[np.ndarray, "actions actions"]:
    number = nearest.shape[1]
    found = np.zeros((number, number))
    for row, of_moment in zip(nearest, actions, strict=True):
        order = sorted(range(number), key=lambda index: _first_number(of_moment[index]))
        place = {index: rank for rank, index in enumerate(order)}
        for index in range(number):
            found[place[index], place[int(row[index])]] += 1
    return found / len(nearest)


def _first_number(action: Any) -> float:
    """Words have no order: they stay as they are."""
    values = np.ravel(action)
    return float(values[0]) if values.size and values.dtype.kind in "biuf" else 0.0


def _curve(hits: np.ndarray, apart: np.ndarray) -> tuple[Step, ...]:
    others = apart + np.where(np.eye(apart.shape[1], dtype=bool), np.inf, 0.0)
    margins, found = np.sqrt(others.min(axis=2)).ravel(), hits.ravel()
    steps = []
    for chosen in np.array_split(np.argsort(margins, kind="stable"), min(_BINS, len(found))):
        hit = int(found[chosen].sum())
        share = Share(hit / len(chosen), *wilson_interval(hit, len(chosen)))
        steps.append(Step(float(margins[chosen].mean()), share))
    return tuple(steps)
