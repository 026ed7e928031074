"""How far two frames are apart, and how sharp one is."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float64, UInt8

from chronosim.types import Frame

__all__ = ["finite_psnr", "psnr", "sharpness", "squared_error"]


def squared_error(a: UInt8[np.ndarray, "*shape"], b: UInt8[np.ndarray, "*shape"]) -> float:
    """Mean squared difference, in grey levels squared (0 to 255**2)."""
    return float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))


def psnr(error: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error, dB; infinite for 0."""
    return 10 * math.log10(255.0**2 / error) if error else math.inf


def finite_psnr(error: Float[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """PSNR of mean squared errors where it is averaged or subtracted, dB.

    No error counts as one of 1e-6: 108 dB, not infinity.
    """
    return np.asarray(10 * np.log10(255.0**2 / np.maximum(error, 1e-6)), np.float64)


_GREY = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in brightness; source: ITU-R BT.601."""


def sharpness(frame: Frame) -> float:
    """Measures a frame's sharpness: the variance of the Laplacian of its brightness.

    The Laplacian is that of four neighbours, inside the frame. Reviews of IF-Edit write the measure
    as a mean of signed Laplacians; but those sum to little more than the frame's edge, near zero
    for any frame, sharp or not. The variance is what the measure is known as.

    Args:
        frame: RGB uint8 (height, width, 3), at least 3 pixels a side; below that it is 0.

    Returns:
        Grey levels squared, >= 0.

    Source: the role in arXiv 2511.19435 (self-consistent post-refinement); the measure from
        Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    if min(frame.shape[:2]) < 3:
        return 0.0
    grey = frame @ _GREY
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).var())
