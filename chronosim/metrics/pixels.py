"""How far two pictures are apart."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8

__all__ = ["psnr", "squared_error"]


def squared_error(a: UInt8[np.ndarray, "*shape"], b: UInt8[np.ndarray, "*shape"]) -> float:
    """Mean squared difference, in grey levels squared (0 to 255**2)."""
    return float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))


def psnr(error: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error, dB; infinite for 0."""
    return 10 * math.log10(255.0**2 / error) if error else math.inf
