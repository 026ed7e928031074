"""What a frame looks like in numbers, whatever is in it: what a drift guard compares."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from chronosim.types import Frame

__all__ = ["describe"]

_SCALES = 3  # the frame, and halved twice
_BINS = 8
_LEAST = 1e-3  # of brightness 0 to 1: below it, differences are all alike


def describe(frame: Frame) -> Float32[np.ndarray, " traits"]:
    """Gives a frame's traits: its colours, and how rough it is at three scales.

    Args:
        frame: RGB uint8 (height, width, 3), at least 12 pixels a side.
    """
    seen = frame.astype(np.float32) / 255
    traits = _colours(frame, seen)
    for _ in range(_SCALES):
        traits += _roughness(seen)
        seen = _halved(seen)
    return np.concatenate(traits, dtype=np.float32)


def _colours(frame: Frame, seen: np.ndarray) -> list[np.ndarray]:
    """Mean and deviation of each colour, and the share of pixels in each part of its range."""
    shares = [
        np.bincount(frame[..., c].ravel() // (256 // _BINS), minlength=_BINS) for c in range(3)
    ]
    roots = np.sqrt(np.concatenate(shares) / frame[..., 0].size)  # a share's noise becomes even
    return [seen.mean((0, 1)), seen.std((0, 1)), roots]


def _roughness(seen: np.ndarray) -> list[np.ndarray]:
    """Mean differences of neighbours in each colour, and the variance of the Laplacian."""
    across, down = (np.abs(np.diff(seen, axis=axis)).mean((0, 1)) for axis in (1, 0))
    grey = seen.mean(-1)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    laplacian = (around - 4 * grey[1:-1, 1:-1]).var()
    return [
        np.log(across + _LEAST),
        np.log(down + _LEAST),
        np.log(np.array([laplacian]) + 0.01 * _LEAST),
    ]


def _halved(seen: np.ndarray) -> np.ndarray:
    height, width = (side // 2 * 2 for side in seen.shape[:2])
    return seen[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))
