"""Whether a model errs more where its data are thin: by distance from where others have been."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from chronosim.evaluation.truth.recordings import Recording
from chronosim.metrics.pixels import finite_psnr, squared_error

__all__ = ["Coverage", "cover"]

_NEIGHBOURS = 5
_STRATA = 5  # of steps that change alike
_RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Coverage:
    """One-step PSNR where data are thick and where they are thin, among steps that change alike.

    Attributes:
        near: Of the half of the steps whose state and action others have been nearest to, dB.
        far: Of the other half.
        low: Lower end of the 95% interval of near less far, over episodes.
        high: Upper end.
    """

    near: float
    far: float
    low: float
    high: float


def cover(
    recordings: Sequence[Recording], errors: Float64[np.ndarray, "steps episodes"]
) -> Coverage | None:
    """Compares steps of usual states and actions with steps of rare ones.

    How usual a step is, is its mean distance from the 5 nearest steps of all other episodes, in
    commanded state and action, each number in its standard deviations. The episodes are held-out
    ones under the policy that recorded the training data: where they are thin, so are those.

    Args:
        recordings: What truly happened.
        errors: Squared error of each step, predicted from the true frame before it.

    Returns:
        None where actions are no numbers.
    """
    features = [_features(recording) for recording in recordings]
    if any(each is None for each in features):
        return None
    points = np.stack([each for each in features if each is not None])  # episodes, steps, numbers
    spread = points.std(axis=(0, 1))
    points = points[..., spread > 0] / spread[spread > 0]
    if points.shape[-1] == 0:
        return None
    distance, change = _distances(points), _changes(recordings)
    far = _far(distance, change)
    draws = np.random.default_rng(0).integers(0, len(points), (_RESAMPLES, len(points)))
    gaps = [np.subtract(*_split(errors[:, draw], far[:, draw])) for draw in draws]
    near_psnr, far_psnr = _split(errors, far)
    low, high = np.percentile(gaps, (2.5, 97.5))
    return Coverage(near_psnr, far_psnr, float(low), float(high))


def _features(recording: Recording) -> Float64[np.ndarray, "steps numbers"] | None:
    rows = []
    for observation, action in zip(recording.observations, recording.actions, strict=False):
        values = np.asarray(action)
        if not np.issubdtype(values.dtype, np.number):
            return None
        rows.append(np.concatenate([observation.state.ravel(), values.ravel()]).astype(float))
    return np.stack(rows)


def _distances(
    points: Float64[np.ndarray, "episodes steps numbers"],
) -> Float64[np.ndarray, "steps episodes"]:
    columns = []
    for index, own in enumerate(points):
        others = np.delete(points, index, axis=0).reshape(-1, points.shape[-1])
        apart = np.linalg.norm(own[:, None] - others[None], axis=-1)
        count = min(_NEIGHBOURS, apart.shape[1])
        columns.append(np.sort(apart, axis=1)[:, :count].mean(axis=1))
    return np.stack(columns, axis=1)


def _changes(recordings: Sequence[Recording]) -> Float64[np.ndarray, "steps episodes"]:
    columns = []
    for recording in recordings:
        seen = [observation.frame for observation in recording.observations]
        columns.append([squared_error(a, b) for a, b in pairwise(seen)])
    return np.array(columns).T


def _far(
    distance: Float64[np.ndarray, "steps episodes"], change: Float64[np.ndarray, "steps episodes"]
) -> np.ndarray:
    """Which steps are farther than the middle one among those that change as much."""
    order = np.argsort(np.argsort(change, axis=None)).reshape(change.shape)
    stratum = order * _STRATA // change.size
    far = np.zeros(change.shape, bool)
    for number in range(_STRATA):
        among = stratum == number
        if among.any():
            far |= among & (distance > np.median(distance[among]))
    return far


def _split(errors: Float64[np.ndarray, "steps episodes"], far: np.ndarray) -> tuple[float, float]:
    def mean(among: np.ndarray) -> float:
        steps = errors[among] if among.any() else errors
        return float(finite_psnr(np.asarray(steps.mean())))

    return mean(~far), mean(far)
