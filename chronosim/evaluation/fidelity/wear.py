"""What wears out in a long rollout, by name: colours, sharpness, movement."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from chronosim.evaluation.fidelity.curves import Curve, resample
from chronosim.evaluation.outcomes.defects import Finding
from chronosim.metrics.pixels import squared_error
from chronosim.metrics.sharpness import sharpness

__all__ = ["find_wear", "sharpness_curve"]

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
