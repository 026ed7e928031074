"""Reads PushT's board off a frame, the simulator's own or a predicted one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float

from chronosim.errors import InvalidFrame
from chronosim.types import Frame

PUSHER_RADIUS = 15.0
"""Of the pusher, in board units (PushTEnv.add_circle)."""

_BOARD = 512.0  # board units from edge to edge
_SIZE = 96  # pixels from edge to edge
_EDGE = 2  # pixels at the border that the walls cover
_BAR = (-60.0, 60.0, 0.0, 30.0)  # the T in its own frame: left, right, top, bottom (add_tee)
_STEM = (-15.0, 15.0, 30.0, 120.0)
_MIDDLE = 40.714  # the middle of its area, down from the top of the bar
_ANGLES = np.arange(180) * (2 * np.pi / 180)  # that are tried to find how a block lies
_WHOLE = 260  # pixels of a whole block, its outline included
_LEAST = 40  # of them below which there is none to be read

# The colours of nothing, goal, block and pusher: fill and outline of the last two, averaged.
_COLOURS = np.array([(255, 255, 255), (144, 238, 144), (135, 153, 172), (73, 118, 244)], np.float32)
_NOTHING, _GOAL, _BLOCK, _PUSHER = range(4)

_Points = Float[np.ndarray, "n 2"]


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a T lies.

    Attributes:
        x: Of the centre of its area, board units from the left.
        y: Of the centre of its area, board units from the top.
        angle: Clockwise from the T with its bar on top, radians.
    """

    x: float
    y: float
    angle: float


GOAL = Pose(
    256 - _MIDDLE * float(np.sin(np.pi / 4)), 256 + _MIDDLE * float(np.cos(np.pi / 4)), np.pi / 4
)
"""Where the T should lie (PushTEnv.goal_pose, moved to the middle of the area)."""


def pusher_place(frame: Frame) -> Float[np.ndarray, 2] | None:
    """Finds the pusher.

    Args:
        frame: uint8 (96, 96, 3).

    Returns:
        x and y in board units; None where the frame shows no pusher.
    """
    points = _places(_parts(frame) == _PUSHER)
    return points.mean(0) if len(points) >= 4 else None


def block_pose(frame: Frame) -> Pose | None:
    """Finds the block and how it lies, by trying 180 angles.

    Args:
        frame: uint8 (96, 96, 3).

    Returns:
        Its pose; None where the frame shows hardly any block.
    """
    points = _places(_parts(frame) == _BLOCK)
    if len(points) < _LEAST:
        return None
    middle = points.mean(0)
    inside = _inside(points - middle, np.sin(_ANGLES)[:, None], np.cos(_ANGLES)[:, None]).sum(1)
    best = np.flatnonzero(inside == inside.max())  # several, where it fits as well
    turn = _ANGLES[best[0]] + np.angle(np.exp(1j * (_ANGLES[best] - _ANGLES[best[0]])).mean())
    return Pose(float(middle[0]), float(middle[1]), float(turn % (2 * np.pi)))


def block_shape(frame: Frame, pose: Pose) -> tuple[float, float]:
    """Says how much of a block a frame shows, and whether it is a T that lies so.

    Args:
        frame: uint8 (96, 96, 3).
        pose: As `block_pose` reads it there.

    Returns:
        Its area, over that of a whole block; and the overlap with a T that lies so, intersection
        over union, 0 to 1: about 0.85 in true frames, whose edges are drawn soft.
    """
    shown = _parts(frame) == _BLOCK
    drawn = inside_block(_pixels(), pose).reshape(shown.shape)
    return float(shown.sum() / _WHOLE), float((shown & drawn).sum() / (shown | drawn).sum())


def goal_coverage(frame: Frame) -> float:
    """Gives the share of the goal that the block covers, computed from the block's pose.

    Counting pixels would give up to 0.09 too much, since the block is drawn with an outline.

    Args:
        frame: uint8 (96, 96, 3).

    Returns:
        0 to 1.
    """
    pose = block_pose(frame)
    return 0.0 if pose is None else float(inside_block(_goal_points(), pose).mean())


def inside_block(points: _Points, pose: Pose, margin: float = 0.0) -> Bool[np.ndarray, " n"]:
    """Says which places a T covers.

    Args:
        points: x and y in board units.
        pose: The T's.
        margin: Board units by which the T is grown on all sides.
    """
    return _inside(points - (pose.x, pose.y), np.sin(pose.angle), np.cos(pose.angle), margin)


def _inside(
    away: _Points,
    sine: Float[np.ndarray, "angles 1"] | float,
    cosine: Float[np.ndarray, "angles 1"] | float,
    margin: float = 0.0,
) -> Bool[np.ndarray, "*angles n"]:
    """Says of places, seen from the middle of a T's area, which it covers at each angle."""
    across = away[:, 0] * cosine + away[:, 1] * sine
    along = away[:, 1] * cosine - away[:, 0] * sine + _MIDDLE
    inside = np.zeros(across.shape, np.bool_)
    for left, right, top, bottom in (_BAR, _STEM):
        inside |= (
            (across >= left - margin)
            & (across <= right + margin)
            & (along >= top - margin)
            & (along <= bottom + margin)
        )
    return inside


def _parts(frame: Frame) -> np.ndarray:
    """Classifies each pixel by the nearest colour: nothing, goal, block or pusher."""
    if frame.shape[:2] != (_SIZE, _SIZE):
        raise InvalidFrame(
            f"PushT's board is read off frames of 96 x 96, not of {frame.shape[0]} x "
            f"{frame.shape[1]}: those are for another scenario"
        )
    # Squared distances but for what all four have in common; whole numbers, so float32 is exact.
    distance = (_COLOURS**2).sum(1) - 2 * (frame.astype(np.float32) @ _COLOURS.T)
    parts: np.ndarray = distance.argmin(-1)
    inner = slice(_EDGE, _SIZE - _EDGE)
    walls = np.ones(parts.shape, np.bool_)
    walls[inner, inner] = False
    parts[walls & (parts == _BLOCK)] = _NOTHING  # a wall's grey is nearest to the block's
    return parts


def _places(mask: Bool[np.ndarray, "height width"]) -> _Points:
    """Board units of the middles of the pixels in a mask: x and y."""
    rows, columns = np.nonzero(mask)
    return (np.stack([columns, rows], axis=1) + 0.5) * (_BOARD / _SIZE)


@cache
def _pixels() -> _Points:
    """Board units of the middles of all pixels, row by row."""
    return _places(np.ones((_SIZE, _SIZE), np.bool_))


@cache
def _goal_points() -> _Points:
    """Points all over the goal, 3 board units apart."""
    line = np.arange(0, _BOARD, 3.0)
    everywhere = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    return everywhere[inside_block(everywhere, GOAL)]
