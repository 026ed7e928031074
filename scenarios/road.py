"""Reads the road off a CarRacing frame, the simulator's own or a predicted one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

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
    if frame.shape[:2] != SIZE:
        raise InvalidFrame(
            f"the road is read off frames of 96 x 96, not of {frame.shape[0]} x {frame.shape[1]}: "
            "those are for another scenario"
        )
    values = frame.astype(np.int16)
    grey = values.max(-1) - values.min(-1) < 30
    mask: Bool[np.ndarray, "height width"] = grey & (values.mean(-1) > 80) & (values.mean(-1) < 140)
    mask[DASHBOARD_ROW:] = False
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
    rows, columns = np.ogrid[:DASHBOARD_ROW, : frame.shape[1]]
    disc = (rows - CAR[0]) ** 2 + (columns - CAR[1]) ** 2 <= radius**2
    return float(road_mask(frame)[:DASHBOARD_ROW][disc].mean())
