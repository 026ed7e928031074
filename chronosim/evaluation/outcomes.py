"""One held action at a time: how near predicted outcomes come to the true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from chronosim.evaluation.intervals import Share
from chronosim.evaluation.report.plots import moments_picture
from chronosim.evaluation.report.section import Gauge, Picture, Section, Table, finite
from chronosim.evaluation.sources import Setting
from chronosim.evaluation.truth import Moment, Region
from chronosim.metrics.pixels import psnr, squared_error
from chronosim.types import Frame, Trajectory

_DRAWN = 6  # moments in the picture
_RESAMPLES = 2000  # of the bootstrap
_COPY = "copy-last-frame"


def outcomes_section(
    moments: Sequence[Moment],
    ways: Mapping[str, Sequence[Trajectory]],
    setting: Setting,
    *,
    seconds: float,
) -> Section:
    """Judges predictions of the taken actions.

    Args:
        moments: Where; at least two.
        ways: A trajectory for each moment, by the name of what made it: "model",
            "copy-last-frame", and "oracle" where the model has an autoencoder.
        setting: Where the moments come from.
        seconds: Of one prediction, on average.
    """
    scores = {name: score(moments, way, setting.left_out) for name, way in ways.items()}
    low, high, gain_low, gain_high = _bootstrap(moments, ways)
    ours, copied = scores["model"].whole, scores[_COPY].whole
    verdict = (
        f"One action on, the predicted outcome comes to {ours.psnr:.1f} dB PSNR of the true one "
        f"(95%: {low:.1f} to {high:.1f}; more is nearer) over {len(moments)} moments; leaving the "
        f"frame as it was comes to {copied.psnr:.1f} dB."
    )
    best = scores["oracle"].whole.psnr if "oracle" in scores else max(ours.psnr, copied.psnr)
    tables = [_outcomes(scores, setting, len(moments), seconds), _between_table(scores)]
    return Section(
        name="outcomes",
        title="One action: the outcome",
        verdict=verdict,
        warnings=() if gain_low > 0 else ("outcomes are no better than the last frame",),
        tables=tuple(table for table in tables if table is not None),
        pictures=(_picture(moments, ways["model"]),),
        values=finite(
            {
                "setting": asdict(setting),
                "moments": len(moments),
                "seconds": seconds,
                "scores": {name: asdict(value) for name, value in scores.items()},
                "psnr_95": [low, high],
                "gain_over_copy_95": [gain_low, gain_high],
            }
        ),
        gauge=Gauge(
            "PSNR of the outcome", ours.psnr, low, high, copied.psnr, _COPY, 10.0,
            max(30.0, min(best, 50.0)), "dB", gain_low=gain_low, gain_high=gain_high,
        ),
    )  # fmt: skip


def _outcomes(
    scores: Mapping[str, Scores], setting: Setting, moments: int, seconds: float
) -> Table:
    region = setting.left_out
    rows = [_row(name, each.whole, setting) for name, each in scores.items()]
    rows += [
        _row(f"{name}, no {region.name}", each.without, setting)
        for name, each in scores.items()
        if region is not None and each.without is not None
    ]
    header = ["outcome", "all", "moving half"]
    text = (
        f"Outcomes at {moments} moments of {setting.where}, PSNR in dB of the pooled squared "
        "error; the moving half are the moments at which the truth changes most."
    )
    if setting.others:
        header.append("follows the action (95%)")
        without = "" if region is None else f", the {region.name} left out"
        text += (
            f" {setting.others} other actions at each moment, true outcomes at least "
            f"{setting.apart:g} grey levels (RMS) apart{without}: guessing follows "
            f"{1 / (setting.others + 1):.0%}."
        )
    text += f" {seconds:.2f} s a prediction."
    if "oracle" in scores:
        text += " Oracle: the truth, through the model's autoencoder and back."
    return Table(tuple(header), tuple(rows), text)


def _row(name: str, closeness: Closeness, setting: Setting) -> tuple[str, ...]:
    row = (name, f"{closeness.psnr:.1f}", f"{closeness.psnr_moving:.1f}")
    return (*row, str(closeness.following)) if setting.others else row


def _between_table(scores: Mapping[str, Scores]) -> Table | None:
    known = {name: each.between for name, each in scores.items() if each.between is not None}
    if len(known) < len(scores):
        text = (
            "The model's trajectories have another length than the recorded ones: only the "
            "outcomes were judged."
        )
        return Table((), (), text)
    times = len(next(iter(known.values())))
    if times == 0:
        return None
    header = ("frame", *(str(time) for time in range(1, times + 1)))
    rows = tuple((name, *(f"{value:.1f}" for value in values)) for name, values in known.items())
    return Table(header, rows, "Frames on the way to the outcome, PSNR in dB, moving half.")


def _picture(moments: Sequence[Moment], predicted: Sequence[Trajectory]) -> Picture:
    """Moments spread evenly from those that change least to those that change most."""
    changes = [squared_error(m.observation.frame, m.trajectory[-1]) for m in moments]
    places = np.linspace(0, len(moments) - 1, min(_DRAWN, len(moments))).round().astype(int)
    shown = [int(index) for index in np.argsort(changes)[places]]
    return Picture(
        moments_picture([moments[i] for i in shown], [predicted[i][-1] for i in shown]),
        "Moments from the least to the most changing. Difference: dark is right; its grey levels "
        "are those by which real and predicted differ.",
    )


def _bootstrap(
    moments: Sequence[Moment], ways: Mapping[str, Sequence[Trajectory]]
) -> tuple[float, float, float, float]:
    """95% intervals of the model's PSNR, and of its gain over copy-last-frame, over moments."""
    errors = {
        name: np.array(
            [squared_error(p[-1], m.trajectory[-1]) for p, m in zip(way, moments, strict=True)]
        )
        for name, way in ways.items()
        if name in ("model", _COPY)
    }
    draws = np.random.default_rng(0).integers(0, len(moments), (_RESAMPLES, len(moments)))
    psnrs = {
        name: np.array([psnr(float(mean)) for mean in error[draws].mean(axis=1)])
        for name, error in errors.items()
    }
    with np.errstate(invalid="ignore"):  # both may be without any error
        gains = np.nan_to_num(psnrs["model"] - psnrs[_COPY], nan=0.0)
    low, high = np.percentile(psnrs["model"], (2.5, 97.5), method="nearest")
    gain_low, gain_high = np.percentile(gains, (2.5, 97.5), method="nearest")
    return float(low), float(high), float(gain_low), float(gain_high)


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
        following=Share.of(int(followed.sum()), len(errors)),
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
