"""How far two frames are apart."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float64, UInt8

from chronosim.frames import sharpness

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
