"""What wears out in a long rollout, by name, and when its frames leave the world."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from chronosim.envs.guard import DriftGuard, describe
from chronosim.evaluation.defects import Finding
from chronosim.evaluation.fidelity.curves import Curve, resample
from chronosim.evaluation.report.section import Table
from chronosim.metrics.pixels import sharpness, squared_error

__all__ = ["find_leaving", "find_wear", "leaving_table", "shares_lost", "sharpness_curve"]

_COLOURS = 8.0  # grey levels
_BLUR = 0.5  # of the truth's sharpness
_STILL = 0.25  # of the truth's movement

Frames = UInt8[np.ndarray, "episodes height width 3"]


def sharpness_curve(predicted: Sequence[Frames], true: Sequence[Frames]) -> Curve:
    """Gives the sharpness of predicted frames over that of the true ones, step by step."""
    return resample(_sharpness(predicted), _sharpness(true), of=_ratio)


def find_wear(imagined: Sequence[Frames], true: Sequence[Frames]) -> list[Finding]:
    """Looks at the last quarter of rollouts for what they have lost.

    Args:
        imagined: After each step, the model's frame of each episode.
        true: The first frames, then the true ones after each step.
    """
    last = max(1, len(imagined) // 4)
    ours, theirs = imagined[-last:], true[-last:]
    where = f"over the last {last} of {len(imagined)} steps alone"
    gaps = np.mean([a.mean((1, 2)) - b.mean((1, 2)) for a, b in zip(ours, theirs, strict=True)], 0)
    blur = _ratio(_sharpness(ours).mean(), _sharpness(theirs).mean())
    moved = [true[0], *imagined][-last - 1 :], true[-last - 1 :]
    return [
        Finding(
            "colours drift",
            float(np.abs(gaps.mean(0)).max()),
            _COLOURS,
            True,
            f"Grey levels by which the mean red, green or blue leaves the truth's {where} (the "
            f"worst colour, mean of {len(gaps)} episodes: a drift that they share).",
        ),
        Finding(
            "frames blur",
            float(blur),
            _BLUR,
            False,
            f"Sharpness of imagined frames over that of true ones {where}.",
        ),
        Finding(
            "frames freeze",
            float(_ratio(_movement(moved[0]), _movement(moved[1]))),
            _STILL,
            False,
            f"How much one imagined frame differs from the next, over true ones, {where} (RMS).",
        ),
    ]


def _sharpness(steps: Sequence[Frames]) -> Float64[np.ndarray, "steps episodes"]:
    return np.array([[sharpness(frame) for frame in frames] for frames in steps])


def _movement(steps: Sequence[Frames]) -> float:
    """By how many grey levels one frame differs from the next, RMS."""
    return float(np.sqrt(np.mean([squared_error(a, b) for a, b in pairwise(steps)])))


def _ratio(ours: Any, theirs: Any) -> Any:
    """Of a world in which there is nothing to lose, nothing is lost."""
    return np.where(theirs > 0, ours / np.where(theirs > 0, theirs, 1), 1.0)


_FALSE_ALARMS = 0.1  # of true episodes
_LOST = 0.5  # of the rollouts


def shares_lost(
    imagined: Sequence[Frames], true: Sequence[Frames], shown: Sequence[Frames] = ()
) -> tuple[float, ...] | None:
    """Gives after each step the share of rollouts of which a frame was lost by then.

    The guard learns from every second true episode; the others set its limit, so that it calls a
    true frame lost in a tenth of them. What a model's autoencoder makes of true frames counts as
    true as well: else a soft picture would pass for one that has left the world.

    Args:
        imagined: After each step, the model's frame of each episode.
        true: The first frames, then the true ones after each step.
        shown: The true frames after each step through the model's autoencoder; none if it has none.

    Returns:
        None where there are too few true frames, or they are too small, for a guard.
    """
    films = np.stack([*true, *shown], axis=1)
    learnt, held_out = list(films[::2]), list(films[1::2])
    if min(films.shape[2:4]) < 12 or len(held_out) * _FALSE_ALARMS < 1:
        return None
    if len(learnt) * films.shape[1] < 4 * len(describe(films[0, 0])):
        return None
    guard = DriftGuard.fit(learnt, held_out, false_alarms=_FALSE_ALARMS)
    lost = [[guard(frame) is not None for frame in frames] for frames in imagined]
    shares = np.logical_or.accumulate(np.array(lost)).mean(axis=1)
    return tuple(float(share) for share in shares)


def find_leaving(shares: Sequence[float]) -> Finding:
    """Looks at how many rollouts have left the world at their end."""
    return Finding(
        "frames leave the world",
        shares[-1],
        _LOST,
        True,
        f"Share of rollouts of which a drift guard has called a frame lost within {len(shares)} "
        f"steps; of true episodes it does so in {_FALSE_ALARMS:.0%}.",
    )


def leaving_table(shares: Sequence[float], steps: Sequence[int]) -> Table:
    """Gives the shares at some steps."""
    caption = (
        "Rollouts that have left the world by then, by a drift guard that was calibrated on true "
        "frames, as they are and as the model's autoencoder (if it has one) gives them back: it "
        f"calls one lost in {_FALSE_ALARMS:.0%} of the true episodes. It looks at colours and "
        "roughness, not at what is in the frame."
    )
    row = ("lost", *(f"{shares[step - 1]:.0%}" for step in steps))
    return Table(("step", *map(str, steps)), (row,), caption)
