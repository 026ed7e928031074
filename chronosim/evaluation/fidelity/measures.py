"""How near a predicted frame is to the true one: the measures that a horizon is drawn of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from chronosim.metrics.perceptual import Perceptual
from chronosim.metrics.pixels import finite_psnr, squared_error
from chronosim.metrics.structure import SMALLEST, multiscale_similarity, structural_similarity

__all__ = ["MEASURES", "Measure", "applicable"]

_SSIM_SMALLEST = 11  # pixels

Frames = UInt8[np.ndarray, "episodes height width 3"]


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """A measure of pairs of frames.

    Attributes:
        key: Its name in JSON.
        title: Its name and unit in words.
        compare: From predicted and true frames to a number for each episode.
        figure: From the mean of those numbers to what is told.
        digits: Behind the point.
        smallest: Pixels that a frame's side must have.
    """

    key: str
    title: str
    compare: Callable[[Frames, Frames], Float64[np.ndarray, " episodes"]]
    figure: Callable[..., Any] = np.positive
    digits: int = 3
    smallest: int = 1


def _squared_errors(predicted: Frames, true: Frames) -> Float64[np.ndarray, " episodes"]:
    return np.array([squared_error(a, b) for a, b in zip(predicted, true, strict=True)])


MEASURES = (
    # Of the error pooled over episodes, as everywhere in an evaluation.
    Measure("psnr", "PSNR, dB", _squared_errors, finite_psnr, 1),
    Measure("ssim", "SSIM", structural_similarity, smallest=_SSIM_SMALLEST),
    Measure("ms_ssim", "MS-SSIM (4 scales)", multiscale_similarity, smallest=SMALLEST),
)
"""Those that need no network."""


def applicable(size: tuple[int, int], perceptual: Perceptual | None = None) -> Sequence[Measure]:
    """Gives the measures that frames of a size allow, and LPIPS where there is a network.

    Args:
        size: (height, width).
        perceptual: LPIPS; None: without.
    """
    known = [measure for measure in MEASURES if min(size) >= measure.smallest]
    if perceptual is not None:
        known.append(Measure("lpips", "LPIPS (lower is better)", perceptual))
    return known
