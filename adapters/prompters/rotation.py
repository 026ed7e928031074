"""Rotations as vectors: the axis, as long as the angle in radians."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

__all__ = ["compose"]

_Vector = Float[np.ndarray, "3"]


def compose(second: _Vector, first: _Vector) -> _Vector:
    """Gives the rotation that two make, one after the other, both about axes that stay fixed.

    Args:
        second: Rotation vector, radians.
        first: Rotation vector, radians.

    Returns:
        Rotation vector of length 0 to pi.
    """
    w2, v2 = _quaternion(second)
    w1, v1 = _quaternion(first)
    w = w2 * w1 - v2 @ v1
    v = w2 * v1 + w1 * v2 + np.cross(v2, v1)
    if w < 0:  # the same rotation, the short way round
        w, v = -w, -v
    length = float(np.linalg.norm(v))
    angle = 2 * float(np.arctan2(length, w))
    return v * (angle / length) if length > 1e-12 else 2 * v


def _quaternion(rotation: _Vector) -> tuple[float, _Vector]:
    """A unit quaternion: its real and its imaginary part."""
    angle = float(np.linalg.norm(rotation))
    if angle < 1e-12:
        return 1.0, rotation / 2
    return float(np.cos(angle / 2)), rotation * (np.sin(angle / 2) / angle)
