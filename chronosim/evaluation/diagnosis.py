"""What limits a model, by experiment: each thing changed alone, and how far the drift moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from chronosim.evaluation.experiments import experiments, round_trips, step_errors
from chronosim.evaluation.intervals import Share
from chronosim.evaluation.predictions import Autoencoding
from chronosim.evaluation.report.section import Section, Table, finite
from chronosim.evaluation.truth import Recording, Steps
from chronosim.metrics.pixels import finite_psnr, squared_error
from chronosim.progress import watch
from chronosim.world import World

_RESAMPLES = 1000

Errors = Float64[np.ndarray, "steps episodes"]


@dataclass(frozen=True, slots=True)
class _Effect:
    """By how much one change moves the PSNR, dB, with its 95% interval over episodes."""

    changed: str
    against: str
    psnr: float
    gain: float
    low: float
    high: float


def diagnose(
    recordings: Sequence[Recording],
    world: World,
    imagined: Steps,
    taught: Steps,
    *,
    seed: int,
) -> Section:
    """Runs every experiment that the model and its prompter allow.

    Args:
        recordings: What truly happened in at least two episodes, all of one length.
        world: The model, and the prompter that the recordings were made with.
        imagined: The model's frames after each step, fed on its own, as `roll_out` gives them.
        taught: The same, shown the truth before each step, as `teach` gives them.
        seed: Of the noise of both.

    Returns:
        The squared error taken apart, and a table of changes ordered by effect.

    Raises:
        ChronosimError: As the model.
    """
    errors = {
        "free-running": step_errors(recordings, imagined),
        "teacher-forced": step_errors(recordings, taught),
    }
    model = world.model
    if isinstance(model, Autoencoding):
        trips = list(watch(round_trips(recordings, model), "autoencoder alone", len(imagined)))
        errors["autoencoder"] = step_errors(recordings, trips)
    effects = {
        "error fed back": _effect(
            "shown the true frame before each step: no error is fed back",
            errors["teacher-forced"], errors["free-running"], "free-running",
        )
    }  # fmt: skip
    for experiment in experiments(recordings, world, seed=seed):
        steps = watch(experiment.run(), f"experiment: {experiment.name}", len(imagined))
        changed = step_errors(recordings, list(steps))
        effects[experiment.name] = _effect(
            experiment.changed, changed, errors[experiment.against], experiment.against
        )
    coverage = cover(recordings, errors["teacher-forced"])
    return _section(_take_apart(errors), effects, coverage, errors["free-running"].shape)


def _take_apart(errors: Mapping[str, Errors]) -> dict[str, Share]:
    """Shares of the free-running squared error, the largest first; they add up to one."""
    free, taught = _resampled(errors["free-running"]), _resampled(errors["teacher-forced"])
    parts = {"error fed back": free - taught}
    if "autoencoder" in errors:
        codec = _resampled(errors["autoencoder"])
        parts["error of one step"] = taught - codec
        parts["reconstruction by the autoencoder"] = codec
    else:
        parts["error of one step"] = taught
    found = {}
    for name, part in parts.items():
        shares = part / np.maximum(free, 1e-12)
        low, high = np.percentile(shares[1:], (2.5, 97.5))
        found[name] = Share(float(shares[0]), float(low), float(high))
    return dict(sorted(found.items(), key=lambda item: -item[1].share))


def _effect(changed: str, errors: Errors, unchanged: Errors, against: str) -> _Effect:
    ours, theirs = finite_psnr(_resampled(errors)), finite_psnr(_resampled(unchanged))
    gains = ours - theirs
    low, high = np.percentile(gains[1:], (2.5, 97.5))
    return _Effect(changed, against, float(ours[0]), float(gains[0]), float(low), float(high))


def _section(
    parts: Mapping[str, Share],
    effects: Mapping[str, _Effect],
    coverage: Coverage | None,
    shape: tuple[int, ...],
) -> Section:
    (worst, most), *_ = parts.items()
    fed_back = effects["error fed back"]
    verdict = (
        f"What limits it most is the {worst}: {most} of the squared error of rollouts. "
        f"Shown the truth before each step it gains {fed_back.gain:.1f} dB "
        f"({fed_back.low:.1f} to {fed_back.high:.1f})."
    )
    if worst == "reconstruction by the autoencoder":
        verdict += " A better autoencoder comes first."
    rollouts = f"{shape[1]} episodes of {shape[0]} steps, 95% intervals over episodes."
    shares = Table(
        ("part", "share of the squared error (95%)"),
        tuple((name, str(part)) for name, part in parts.items()),
        f"The squared error of free-running rollouts taken apart: {rollouts}",
    )
    rows = [
        (
            name,
            e.changed,
            e.against,
            f"{e.psnr:.1f}",
            f"{e.gain:+.1f} ({e.low:+.1f} to {e.high:+.1f})",
        )
        for name, e in effects.items()
    ]
    if coverage is not None:
        gap = coverage.near - coverage.far
        rows.append(
            (
                "rare states and actions",
                "the rarer half of the steps, among steps that change alike",
                "the usual half",
                f"{coverage.far:.1f}",
                f"{-gap:+.1f} ({-coverage.high:+.1f} to {-coverage.low:+.1f})",
            )
        )
    rows.sort(key=lambda row: -abs(float(row[4].split()[0])))
    changes = Table(
        ("experiment", "what was changed, alone", "against", "PSNR, dB", "moves it by, dB (95%)"),
        tuple(rows),
        f"Ordered by effect; a gain says what would be won, a loss what it relies on: {rollouts}",
    )
    values = {
        "parts": {name: asdict(part) for name, part in parts.items()},
        "effects": {name: asdict(effect) for name, effect in effects.items()},
        "coverage": None if coverage is None else asdict(coverage),
    }
    return Section(
        name="diagnosis",
        title="What limits it",
        verdict=verdict,
        tables=(shares, changes),
        values=finite(values),
    )


def _resampled(errors: Errors) -> Float64[np.ndarray, " draws"]:
    """The mean error, and then that over episodes drawn with replacement, the same every time."""
    each = errors.mean(axis=0)
    draws = np.random.default_rng(0).integers(0, len(each), (_RESAMPLES, len(each)))
    return np.concatenate([[each.mean()], each[draws].mean(axis=1)])


_NEIGHBOURS = 5
_STRATA = 5  # of steps that change alike
_COVERAGE_RESAMPLES = 500


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
    draws = np.random.default_rng(0).integers(0, len(points), (_COVERAGE_RESAMPLES, len(points)))
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
