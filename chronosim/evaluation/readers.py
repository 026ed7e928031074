"""What CarRacing's and PushT's frames show in metres and degrees, read off alike true or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float32

from chronosim.evaluation.terms import Reading, Term, Trial, ratio, turned
from chronosim.scenarios.board import block_pose, block_shape, pusher_place
from chronosim.scenarios.goals.road import road_angle
from chronosim.scenarios.road import CAR, DASHBOARD_ROW, road_mask
from chronosim.types import Frame, Step

__all__ = ["BoardReader", "Motion", "RoadReader", "car_motion"]

_Image = Float32[np.ndarray, "_ _"]

# CarRacing-v3's camera: ZOOM and SCALE, and a window of 1000 x 800 shown on 96 x 96.
_ROW = 800 / 96 / (2.7 * 6)  # metres
_WIDE = 1000 / 800  # rows that a column is wide
_LOOKED_FOR = (slice(4, 48), slice(14, 82))  # the part of a frame that is found again in the next
_UP, _DOWN, _ASIDE = 4, 36, 13  # rows and columns by which it may have moved there
_COARSE, _FINE = range(-60, 61, 4), range(-3, 4)  # degrees
_SURE = 0.8  # correlation below which nothing was found again


@dataclass(frozen=True, slots=True)
class Motion:
    """How a car moved between two frames.

    Attributes:
        ahead: Metres forward, as it stands at the end; negative: back.
        turn: Degrees to the right.
    """

    ahead: float
    turn: float


def car_motion(before: Frame, after: Frame) -> Motion | None:
    """Finds how CarRacing's car moved, by laying the ground of one frame over that of the next.

    The ground ahead is turned about the car by up to 60 degrees to either side, and looked for up
    to 18 m further down. Of 100 held actions of `DriverMix` and `StopAndGo` 7 were not found again
    (spins); of the others the median error against the simulator was 0.1 m and 0.4 degrees, of nine
    in ten at most 0.6 m and 1.3 degrees.

    Args:
        before: uint8 (96, 96, 3).
        after: The next one.

    Returns:
        None where the ground of `before` is not found again.
    """
    first, second = (frame[:DASHBOARD_ROW, :, 1].astype(np.float32) for frame in (before, after))
    rows, columns = _LOOKED_FOR
    ground = second[
        rows.start - _UP : rows.stop + _DOWN, columns.start - _ASIDE : columns.stop + _ASIDE
    ]
    found = {turn: _look(first, ground, turn) for turn in _COARSE}
    best = max(found, key=lambda turn: found[turn].max())
    found |= {best + more: _look(first, ground, best + more) for more in _FINE}
    best = max(found, key=lambda turn: found[turn].max())
    likeness = found[best]
    row, column = map(int, np.unravel_index(int(likeness.argmax()), likeness.shape))
    further = abs(best) > _COARSE[-1] or row in (0, _UP + _DOWN) or column in (0, 2 * _ASIDE)
    if likeness[row, column] < _SURE or further:
        return None
    return Motion(_ROW * (row - _UP + _peak(likeness[:, column], row)), float(-best))


def _look(first: _Image, ground: _Image, degrees: int) -> _Image:
    """How alike the ground ahead, turned, is to each place where it may lie now."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    turn = np.array([[cosine, -sine / _WIDE], [sine * _WIDE, cosine]])
    middle = np.array([CAR[1], CAR[0]], np.float64)
    around = np.column_stack([turn, middle - turn @ middle])
    seen = np.ones_like(first)
    seen[CAR[0] - 9 : CAR[0] + 9, CAR[1] - 8 : CAR[1] + 9] = 0  # the car itself goes along
    size = first.shape[::-1]
    turned_ground = cv2.warpAffine(first, around, size)[_LOOKED_FOR]
    mask = cv2.warpAffine(seen, around, size, flags=cv2.INTER_NEAREST)[_LOOKED_FOR]
    likeness = cv2.matchTemplate(ground, turned_ground, cv2.TM_CCOEFF_NORMED, mask=mask)
    return np.where(np.isfinite(likeness), likeness, np.float32(-1))


def _peak(likeness: np.ndarray, place: int) -> float:
    """How far beside the best place the peak lies, by a parabola through its neighbours."""
    if not 0 < place < len(likeness) - 1:
        return 0.0
    before, at, after = (float(one) for one in likeness[place - 1 : place + 2])
    bend = before - 2 * at + after
    return 0.0 if bend >= 0 else min(max((before - after) / (2 * bend), -0.5), 0.5)


@dataclass(frozen=True, slots=True)
class RoadReader:
    """Reads CarRacing: how far the car moved and turned, and how it stands to the road.

    Attributes:
        seconds_per_step: How long one action is held, in seconds.
    """

    seconds_per_step: float = 0.36

    @property
    def terms(self) -> Sequence[Term]:
        """What it tells."""
        return (
            Term("moved ahead, m", "0.1"),
            Term("turned, degrees", "0.4", turned),
            Term("heading to the road, degrees"),
            Term("offset to the road, m"),
        )

    @property
    def trials(self) -> Sequence[Trial]:
        """What is asked on purpose."""
        return (
            Trial(
                "moves at 0 m/s",
                lambda seen, _: (replace(seen, state=np.zeros(1, np.float32)), _drive(0, 0)),
                self._moved,
                1.0,
                True,
                "Metres by which a car moves that stands and is told to do nothing",
            ),
            Trial(
                "moves on under full brake",
                lambda seen, _: (replace(seen, state=np.zeros(1, np.float32)), _drive(0, 1)),
                self._moved,
                1.0,
                True,
                "Metres by which a car moves that stands with its brakes on",
            ),
            Trial(
                "stands under full throttle",
                lambda seen, _: (seen, _drive(1, 0)),
                self._share_of_its_way,
                0.5,
                False,
                "How far a car goes under full throttle, over what its commanded speed makes",
            ),
        )

    def read(self, before: Frame, after: Frame) -> Reading:
        """Reads a step, off the frames before and after it."""
        found: dict[str, tuple[float, ...]] = {}
        moved, heading, offset = car_motion(before, after), road_angle(after), _offset(after)
        if moved is not None:
            found["moved ahead, m"] = (moved.ahead,)
            found["turned, degrees"] = (moved.turn,)
        if heading is not None:
            found["heading to the road, degrees"] = (heading,)
        if offset is not None:
            found["offset to the road, m"] = (offset,)
        return found

    def _moved(self, step: Step) -> float | None:
        moved = car_motion(step.before.frame, step.after.frame)
        return None if moved is None else abs(moved.ahead)

    def _share_of_its_way(self, step: Step) -> float | None:
        way = self.seconds_per_step * float(step.before.state[0] + step.after.state[0]) / 2
        moved = car_motion(step.before.frame, step.after.frame)
        return None if moved is None or way < 1 else moved.ahead / way


def _drive(throttle: float, brake: float) -> Float32[np.ndarray, 3]:
    return np.array([0.0, throttle, brake], np.float32)


def _offset(frame: Frame) -> float | None:
    """Metres from the car to the middle of the road beside it, to the right; None off the road."""
    columns = np.flatnonzero(road_mask(frame)[CAR[0] - 6])
    if not columns.size:
        return None
    runs = np.split(columns, np.flatnonzero(np.diff(columns) > 3) + 1)
    middle = min((float(run.mean()) for run in runs), key=lambda column: abs(column - CAR[1]))
    return _ROW * _WIDE * (middle - CAR[1])


_BOARD = 512.0  # board units from edge to edge
_TRUE_SHAPE = 0.85  # of `block_shape`: what true frames show, whose edges are drawn soft


@dataclass(frozen=True, slots=True)
class BoardReader:
    """Reads PushT: where the pusher is, how the block lies, and whether it is a T still."""

    @property
    def terms(self) -> Sequence[Term]:
        """What it tells."""
        return (
            Term("pusher's place, % of the board", "0.1"),
            Term("block's place, % of the board", "0.2"),
            Term("block's angle, degrees", "1.0", turned),
            Term("block's area over the true one", "", ratio),
            Term("overlap with a T that lies so, over the true one", "", ratio),
        )

    @property
    def trials(self) -> Sequence[Trial]:
        """What is asked on purpose."""
        return (
            Trial(
                "the block moves untouched",
                lambda seen, _: (seen, np.array(seen.state, np.float32)),
                _block_moved,
                2.0,
                True,
                "Percent of the board by which the block moves while the pusher stays",
            ),
            Trial(
                "the pusher vanishes",
                lambda seen, taken: (seen, taken),
                lambda step: float(pusher_place(step.after.frame) is None),
                0.1,
                True,
                "Share of outcomes in which no pusher is seen",
            ),
            Trial(
                "the block is no T",
                lambda seen, taken: (seen, taken),
                lambda step: _shape(step.after.frame) / _TRUE_SHAPE,
                0.75,
                False,
                "Overlap of the block with a T that lies so, after one action, over a true block's",
            ),
        )

    def read(self, before: Frame, after: Frame) -> Reading:
        """Reads a step, off the frames before and after it."""
        terms, found = self.terms, {}
        pusher, block = pusher_place(after), block_pose(after)
        if pusher is not None:
            found[terms[0].name] = tuple(100 * float(part) / _BOARD for part in pusher)
        if block is not None:
            area, shape = block_shape(after, block)
            found[terms[1].name] = (100 * block.x / _BOARD, 100 * block.y / _BOARD)
            found[terms[2].name] = (math.degrees(block.angle),)
            found[terms[3].name] = (area,)
            found[terms[4].name] = (shape,)
        return found


def _block_moved(step: Step) -> float | None:
    poses = block_pose(step.before.frame), block_pose(step.after.frame)
    if poses[0] is None or poses[1] is None:
        return None
    return 100 * math.hypot(poses[0].x - poses[1].x, poses[0].y - poses[1].y) / _BOARD


def _shape(frame: Frame) -> float:
    block = block_pose(frame)
    return 0.0 if block is None else block_shape(frame, block)[1]
