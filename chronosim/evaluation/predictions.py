"""What is judged at moments, and its figures: how near to the truth, and to which truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, UInt8

from chronosim.evaluation.truth.moments import Moment
from chronosim.evaluation.truth.reference import Region
from chronosim.metrics.pixels import psnr, squared_error
from chronosim.simulator import Simulator
from chronosim.types import Frame, Trajectory

__all__ = [
    "Autoencoding",
    "Closeness",
    "Scores",
    "Share",
    "copy_frame",
    "predict",
    "reconstruct",
    "score",
    "see_through",
    "wilson_interval",
]

_BATCH = 8  # moments predicted by one call of the model


@runtime_checkable
class Autoencoding(Protocol):
    """A world model that answers through an autoencoder, and shows what that alone loses."""

    def reconstruct(self, frame: Frame, trajectory: Trajectory) -> Trajectory:
        """Encodes what truly followed a frame, and decodes it as an answer is decoded."""
        ...


def predict(
    moments: Sequence[Moment], simulator: Simulator, *, seed: int = 0
) -> Iterator[Trajectory]:
    """Predicts what comes of the action taken at each moment.

    Args:
        moments: Where.
        simulator: The model, and the prompter that the moments were drawn with.
        seed: Of the model's noise; moment i has seed + i.

    Yields:
        One trajectory for each moment.
    """
    for first in range(0, len(moments), _BATCH):
        batch = moments[first : first + _BATCH]
        steps = simulator.step_all(
            [moment.observation for moment in batch],
            [moment.actions[0] for moment in batch],
            seeds=range(seed + first, seed + first + len(batch)),
        )
        yield from (prediction.trajectory for _, prediction in steps)


def copy_frame(moment: Moment) -> Trajectory:
    """Gives the observed frame as often as the true trajectory has frames: copy-last-frame."""
    return np.repeat(moment.observation.frame[None], len(moment.trajectory), axis=0)


def see_through(model: Autoencoding, before: Frame, after: Frame) -> Frame:
    """Gives a true frame as the model would show it at best, having observed the one before it."""
    shown: Frame = model.reconstruct(before, after[None])[-1]
    return shown


def reconstruct(moment: Moment, model: Autoencoding, time: int) -> Trajectory:
    """Reconstructs a moment's true trajectory: the best that a model could do, the oracle.

    Args:
        moment: Whose trajectory.
        model: Whose autoencoder.
        time: Length of the model's own trajectories. Where it is not the truth's, only the outcome
            is reconstructed.

    Returns:
        The true trajectory, or the outcome alone, as the model would show it at best.
    """
    true = moment.trajectory
    return model.reconstruct(moment.observation.frame, true if len(true) == time else true[-1:])


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


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near predicted outcomes come to the true ones.

    Attributes:
        psnr: Of the squared error pooled over all moments, dB.
        psnr_moving: The same over the half of the moments at which the truth changes most.
        following: How often a prediction lies nearer to its own true outcome than to those of the
            other actions.
    """

    psnr: float
    psnr_moving: float
    following: Share


@dataclass(frozen=True, slots=True)
class Scores:
    """How one way of predicting did over a set of moments.

    Attributes:
        whole: Judged by whole frames.
        without: Judged without a region; None where there is none.
        between: PSNR of each frame on the way to the outcome, pooled over the moving half, dB;
            None where a trajectory has another length than the truth.
    """

    whole: Closeness
    without: Closeness | None
    between: tuple[float, ...] | None


def score(
    moments: Sequence[Moment], predicted: Sequence[Trajectory], left_out: Region | None = None
) -> Scores:
    """Scores predictions of the taken actions.

    Args:
        moments: At least two.
        predicted: One trajectory for each; the last frame is the outcome.
        left_out: A region to be judged with and without.
    """
    true = [moment.trajectory for moment in moments]
    moving = _moving(moments)
    alike = all(len(p) == len(t) for p, t in zip(predicted, true, strict=True))
    outcomes = [trajectory[-1] for trajectory in predicted]
    truths = [moment.outcomes for moment in moments]
    without = None
    if left_out is not None:
        cut = left_out.cut
        without = _closeness([cut(o) for o in outcomes], [cut(t) for t in truths], moving)
    return Scores(
        whole=_closeness(outcomes, truths, moving),
        without=without,
        between=_between(predicted, true, moving) if alike else None,
    )


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927): it stays within 0 and 1 also for few trials."""
    share = successes / trials
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _moving(moments: Sequence[Moment]) -> Bool[np.ndarray, " moments"]:
    """Which moments make up the half with the larger true change, by the whole frame."""
    changes = [squared_error(m.observation.frame, m.trajectory[-1]) for m in moments]
    return np.asarray(np.array(changes) >= np.median(changes))


def _closeness(
    predicted: Sequence[Frame],
    truths: Sequence[UInt8[np.ndarray, "actions height width 3"]],
    moving: Bool[np.ndarray, " moments"],
) -> Closeness:
    errors = np.array(
        [[squared_error(p, t) for t in true] for p, true in zip(predicted, truths, strict=True)]
    )
    followed = errors.argmin(axis=1) == 0
    return Closeness(
        psnr=psnr(float(errors[:, 0].mean())),
        psnr_moving=psnr(float(errors[moving, 0].mean())),
        following=Share(float(followed.mean()), *wilson_interval(int(followed.sum()), len(errors))),
    )


def _between(
    predicted: Sequence[Trajectory],
    true: Sequence[Trajectory],
    moving: Bool[np.ndarray, " moments"],
) -> tuple[float, ...]:
    errors = np.array(
        [
            [squared_error(p, t) for p, t in zip(*pair, strict=True)]
            for pair in zip(predicted, true, strict=True)
        ]
    )
    return tuple(psnr(float(error)) for error in errors[moving, :-1].mean(axis=0))
