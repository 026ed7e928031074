"""Reads the road off a CarRacing frame, the simulator's own or a predicted one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, UInt8

from chronosim.errors import InvalidFrame
from chronosim.types import Frame

CAR = (71, 48)
"""Row and column of the car's middle, of 96 and 96: CarRacing's camera keeps it there."""

SIZE = (96, 96)
"""Height and width of CarRacing's frames, pixels."""

DASHBOARD_ROW = 84
"""The dashboard covers the rows from here down."""


def road_mask(frame: Frame) -> Bool[np.ndarray, "height width"]:
    """Finds the road: grey pixels of CarRacing's asphalt (about 102 of 255), above the dashboard.

    Args:
        frame: uint8 (96, 96, 3).

    Returns:
        bool (96, 96), true on the road.

    Raises:
        InvalidFrame: The frame is of another size: car and dashboard would lie elsewhere.
    """
    _check(frame)
    mask = np.zeros(SIZE, np.bool_)
    mask[:DASHBOARD_ROW] = _asphalt(frame[:DASHBOARD_ROW])
    return mask


def road_share(frame: Frame, radius: int) -> float:
    """Gives the share of road in a disc around the car, above the dashboard.

    Args:
        frame: uint8 (96, 96, 3).
        radius: Of the disc, in pixels (1 pixel is about half a metre).

    Returns:
        0 to 1. The car covers part of the disc, so a small disc never reaches 1.

    Raises:
        InvalidFrame: The frame is of another size.
    """
    _check(frame)
    top, left = max(CAR[0] - radius, 0), max(CAR[1] - radius, 0)
    part = frame[top : min(CAR[0] + radius + 1, DASHBOARD_ROW), left : CAR[1] + radius + 1]
    rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    disc = (rows - CAR[0]) ** 2 + (columns - CAR[1]) ** 2 <= radius**2
    return float(_asphalt(part)[disc].mean())


def _check(frame: Frame) -> None:
    if frame.shape[:2] != SIZE:
        raise InvalidFrame(
            f"the road is read off frames of 96 x 96, not of {frame.shape[0]} x {frame.shape[1]}: "
            "those are for another scenario"
        )


def _asphalt(pixels: UInt8[np.ndarray, "rows columns 3"]) -> Bool[np.ndarray, "rows columns"]:
    """Which pixels are grey, and neither dark nor light."""
    red, green, blue = np.moveaxis(pixels.astype(np.int16), -1, 0)
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    total = red + green + blue
    asphalt: Bool[np.ndarray, "rows columns"] = (spread < 30) & (total > 240) & (total < 420)
    return asphalt
