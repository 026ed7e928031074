"""Scripted PushT pushers; they see where things lie in the frame, never in the simulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from chronosim.policies.acting import RowByRow
from chronosim.scenarios.board import (
    GOAL,
    PUSHER_RADIUS,
    Pose,
    block_pose,
    inside_block,
    pusher_place,
)
from chronosim.types import Observation

_Action = Float32[np.ndarray, "2"]
_Place = Float[np.ndarray, "2"]

_BOARD = 512.0
_REACH = 45.0  # board units by which a turn of one radian counts as much as a way
_CLEAR = 10.0  # board units between the pusher and the block before a push
_ROUND = 120.0  # radius of the way around the block
_NEAR = 8.0  # how far from its place a push may begin
_DRAWN = 8  # points of the outline of which `AllSides` takes one that it can push at
_FAR = 60.0  # board units that it should be able to push the block there
_ASTRAY = 90.0  # board units from a wall nearer to which the block's middle is not to be pushed


@dataclass(frozen=True, slots=True)
class Pusher(RowByRow):
    """Pushes the block to the goal, one push after the other.

    A push is chosen by a simple model: a block pushed at a point moves the way it is pushed and
    turns about its middle as the lever asks. The point of its outline is taken where that comes
    nearest to what is missing; the pusher goes around the block to it, then pushes.

    Attributes:
        strength: Share of the missing way that one push makes.
        longest: Board units that one push moves at most.
    """

    strength: float = 0.8
    longest: float = 70.0

    def __call__(self, observation: Observation) -> _Action:
        """Chooses where to go: float32 (2,), board units."""
        block, place = block_pose(observation.frame), _pusher(observation)
        if block is None:
            return place.astype(np.float32)
        missing = _missing(block)
        size = float(np.linalg.norm(missing))
        contact, push = _best_push(block, missing / max(size, 1e-6))
        before = contact - push * (PUSHER_RADIUS + _CLEAR)
        if np.linalg.norm(place - before) <= _NEAR:
            way = _CLEAR + min(self.strength * size, self.longest)
            return _on_board(place + push * way)
        return _on_board(_way(place, before, block))


@dataclass(slots=True)
class PusherMix(RowByRow):
    """Pushes as many different people would: one temper an episode, and whims on the way.

    Each episode draws how exact the pusher is and at what share of steps it does something else:
    pushes the block from wherever it stands, goes anywhere, moves a little, or waits. It is the
    policy that training data is recorded under.

    Attributes:
        seed: Seed of the temper and the whims.
    """

    seed: int = 0
    _rng: np.random.Generator = field(init=False, repr=False)
    _pusher: Pusher = field(init=False, repr=False)
    _noise: float = field(init=False, repr=False)
    _whim: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._pusher = Pusher(longest=float(self._rng.uniform(40, 120)))
        self._noise = float(self._rng.choice([1.0, 6.0, 20.0]))
        self._whim = float(self._rng.choice([0.15, 0.4, 0.8]))

    def __call__(self, observation: Observation) -> _Action:
        """Chooses where to go: float32 (2,), board units."""
        if self._rng.random() >= self._whim:
            usual = self._pusher(observation)
            return _on_board(usual + self._rng.normal(0, self._noise, 2))
        return self._whimsy(observation)

    def _whimsy(self, observation: Observation) -> _Action:
        rng, place = self._rng, _pusher(observation)
        kind = rng.choice(["push", "anywhere", "little", "wait"], p=[0.5, 0.2, 0.22, 0.08])
        block = block_pose(observation.frame)
        if kind == "push" and block is not None:
            aim = np.array([block.x, block.y]) + rng.normal(0, 30, 2)
            way = aim - place
            distance = max(float(np.linalg.norm(way)), 1e-6)
            # As far as the block, and then some.
            return _on_board(place + way / distance * (distance + rng.uniform(-30, 70)))
        if kind == "anywhere":
            return _on_board(rng.uniform(20, _BOARD - 20, 2))
        return _on_board(place if kind == "wait" else place + rng.normal(0, 45, 2))


@dataclass(slots=True)
class AllSides(RowByRow):
    """Pushes the block from every side, little and far; and now and then does nothing.

    `PusherMix` mostly wants the block in the goal, and pushes it little. Here points of the
    block's outline are drawn, all alike; the pusher goes to one and pushes, a little or across
    half the board, straight or aslant. In between it goes into corners, along walls, anywhere, or
    stays where it is for some steps. It never pushes the block against a wall, through which the
    simulator would squeeze it. Training data recorded under it keep the T a T.

    Attributes:
        seed: Seed of what is drawn.
    """

    seed: int = 0
    _rng: np.random.Generator = field(init=False, repr=False)
    _kind: str = field(init=False, repr=False, default="")
    _left: int = field(init=False, repr=False, default=0)
    _spots: Int[np.ndarray, " n"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._spots = np.zeros(1, np.int64)

    def __call__(self, observation: Observation) -> _Action:
        """Chooses where to go: float32 (2,), board units."""
        if not self._left:
            self._begin()
        self._left -= 1
        rng, place, block = self._rng, _pusher(observation), block_pose(observation.frame)
        if self._kind == "stay":
            return _on_board(observation.state.astype(np.float64))
        if block is None:
            return _on_board(rng.uniform(0, _BOARD, 2))
        if self._kind == "edge":
            goal = rng.choice([0.0, rng.uniform(0, _BOARD), _BOARD], 2)
        elif self._kind == "anywhere":
            goal = rng.uniform(0, _BOARD, 2)
        elif self._kind == "through":  # from wherever it stands
            way = np.array([block.x, block.y]) + rng.normal(0, 35, 2) - place
            goal = place + way * rng.uniform(0.6, 2.0)
        else:
            goal = self._push(place, block)
        return _on_board(_off_the_walls(place, goal, block))

    def _begin(self) -> None:
        kinds = {"push": 0.46, "through": 0.3, "stay": 0.08, "edge": 0.08, "anywhere": 0.08}
        self._kind = str(self._rng.choice([*kinds], p=[*kinds.values()]))
        longest = {"push": 6, "through": 4, "stay": 3, "edge": 2}.get(self._kind, 1)
        self._left = int(self._rng.integers(1, longest + 1))
        if self._kind == "push":
            self._left = longest
            self._spots = self._rng.permutation(len(_outline()[0]))[:_DRAWN]

    def _push(self, place: _Place, block: Pose) -> _Place:
        """To the first drawn point that can be pushed at, then on: the phase is over."""
        contacts, pushes = (sides[self._spots] for sides in _sides(block))
        before = contacts - pushes * (PUSHER_RADIUS + _CLEAR)
        room = ((before > PUSHER_RADIUS) & (before < _BOARD - PUSHER_RADIUS)).all(1)
        ample = _until_the_walls(block, pushes) > _FAR
        straight = room & _free(place, before, block)
        spot = int(np.argmax(4.0 * (room & ample) + 2.0 * straight + room))
        self._spots = self._spots[spot : spot + 1]
        if np.linalg.norm(place - before[spot]) > _NEAR:
            return _way(place, before[spot], block)
        self._left, push = 0, pushes[spot]
        aslant = self._rng.normal(0, 0.3)
        way = push + aslant * np.array([-push[1], push[0]])
        far = self._rng.uniform(5, 90) if self._rng.random() < 0.6 else self._rng.uniform(90, 300)
        return place + way * (_CLEAR + far)


def _off_the_walls(place: _Place, goal: _Place, block: Pose) -> _Place:
    """As far towards the goal as the block, if it were carried along, stays off the walls."""
    line = place + np.linspace(0, 1, 40)[:, None] * (goal - place)
    hit = inside_block(line, block, margin=PUSHER_RADIUS)
    if not hit.any():
        return goal
    contact = line[int(np.argmax(hit))]
    way = goal - contact
    return contact + min(float(_until_the_walls(block, way[None])[0]), 1.0) * way


def _until_the_walls(block: Pose, ways: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """How many times each way the block's middle can go before it is too near a wall, 0 or more."""
    middle = np.array([block.x, block.y])
    room = np.where(ways > 0, _BOARD - _ASTRAY - middle, middle - _ASTRAY)
    times: Float[np.ndarray, " n"] = (room / np.maximum(np.abs(ways), 1e-6)).min(1).clip(0.0)
    return times


def _pusher(observation: Observation) -> _Place:
    """Where the pusher is seen, or else where it was sent."""
    seen = pusher_place(observation.frame)
    return observation.state.astype(np.float64) if seen is None else seen


def _on_board(place: _Place) -> _Action:
    return np.clip(place, PUSHER_RADIUS, _BOARD - PUSHER_RADIUS).astype(np.float32)


def _missing(block: Pose) -> Float[np.ndarray, 3]:
    """What lies between block and goal: way across, way down, turn as a way."""
    turn = (GOAL.angle - block.angle + np.pi) % (2 * np.pi) - np.pi
    return np.array([GOAL.x - block.x, GOAL.y - block.y, _REACH * turn])


def _best_push(block: Pose, wanted: Float[np.ndarray, 3]) -> tuple[_Place, _Place]:
    """The point of the outline and the direction whose push goes most the wanted way."""
    contacts, pushes = _sides(block)
    levers = contacts - np.array([block.x, block.y])
    turns = (levers[:, 0] * pushes[:, 1] - levers[:, 1] * pushes[:, 0]) / _REACH
    moves = np.column_stack([pushes, turns])
    moves /= np.linalg.norm(moves, axis=1, keepdims=True)
    before = contacts - pushes * (PUSHER_RADIUS + _CLEAR)
    possible = ((before > PUSHER_RADIUS) & (before < _BOARD - PUSHER_RADIUS)).all(1)
    possible &= ~inside_block(before, block, margin=PUSHER_RADIUS + 2)  # nooks are too narrow
    best = int(np.argmax(moves @ wanted - 2.0 * ~possible))
    return contacts[best], pushes[best]


def _sides(block: Pose) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    """Points of a block's outline on the board, and the ways into it."""
    outline, inward = _outline()
    sine, cosine = np.sin(block.angle), np.cos(block.angle)
    turned = np.array([[cosine, -sine], [sine, cosine]])
    return outline @ turned.T + np.array([block.x, block.y]), inward @ turned.T


@cache
def _outline() -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    """Points on the T's sides, seen from the middle of its area, and the ways into it."""
    corners = np.array(
        [(-60, 0), (60, 0), (60, 30), (15, 30), (15, 120), (-15, 120), (-15, 30), (-60, 30)], float
    ) - (0, 40.714)
    points, ways = [], []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        side = end - start
        length = float(np.linalg.norm(side))
        for share in np.arange(7, length - 6.9, 7.5) / length:
            points.append(start + share * side)
            ways.append(np.array([-side[1], side[0]]) / length)
    return np.array(points), np.array(ways)


def _way(place: _Place, goal: _Place, block: Pose) -> _Place:
    """Straight to the goal where the block is not in the way, or else a part around it."""
    if _free(place, goal[None], block)[0]:
        return goal
    middle = np.array([block.x, block.y])
    turns = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    around = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    stops = np.concatenate([middle + radius * around for radius in (90.0, _ROUND, 150.0)])
    stops = stops[((stops > PUSHER_RADIUS) & (stops < _BOARD - PUSHER_RADIUS)).all(1)]
    free = _free(place, stops, block)
    if not free.any():  # it touches the block: straight away from it
        away = place - middle
        return place + 40 * away / max(float(np.linalg.norm(away)), 1e-6)
    stops = stops[free]
    there = np.arctan2(*(goal - middle)[::-1])
    left = np.abs(np.angle(np.exp(1j * (np.arctan2(*(stops - middle).T[::-1]) - there))))
    cost = np.linalg.norm(stops - place, axis=1) + 2 * _ROUND * left
    chosen: _Place = stops[int(np.argmin(cost))]
    return chosen


def _free(place: _Place, ends: Float[np.ndarray, "n 2"], block: Pose) -> Bool[np.ndarray, " n"]:
    """Whether the pusher can go straight to each end without touching the block."""
    shares = np.linspace(0, 1, 40)[:, None]
    lines = place + shares * (ends[:, None] - place)
    hit = inside_block(lines.reshape(-1, 2), block, margin=PUSHER_RADIUS + 1)
    free: Bool[np.ndarray, " n"] = np.logical_not(hit.reshape(len(ends), -1).max(axis=1))
    return free


# side of the board, in its own units
_ASIDE = 115.0  # from the block's middle at which the pusher passes by
_CONTACT = 40.0  # about as far from there, the pusher touches the block


@dataclass(frozen=True, slots=True)
class Shover(RowByRow):
    """Goes around the block to its far side, then shoves it by its middle.

    Beside `Pusher` it knows no outline and no lever: it turns nothing on purpose.

    Attributes:
        away: Whether it means ill and shoves the block away from the goal.
        behind: Board units behind the block's middle from which it shoves.
        longest: Board units that a shove moves the block at most.
    """

    away: bool = False
    behind: float = 95.0
    longest: float = 60.0

    def __call__(self, observation: Observation) -> Float32[np.ndarray, 2]:
        """Chooses where to go: float32 (2,), board units."""
        block, seen = block_pose(observation.frame), pusher_place(observation.frame)
        here = observation.state.astype(np.float64) if seen is None else seen
        if block is None:
            return _kept_on_board(here)
        middle = np.array([block.x, block.y])
        way = (np.array([GOAL.x, GOAL.y]) - middle) * (-1 if self.away else 1)
        distance = max(float(np.linalg.norm(way)), 1e-6)
        toward = way / distance
        far = self.longest if self.away else min(distance, self.longest)
        return _kept_on_board(middle + self._next(here - middle, toward, far))

    def _next(self, here: _Place, toward: _Place, far: float) -> _Place:
        """Where to go, seen from the block's middle."""
        along = float(here @ toward)
        aside = here - along * toward
        off = float(np.linalg.norm(aside))
        if along < -_CONTACT and off < 15:
            return toward * (far - _CONTACT)
        if along < -_CONTACT:
            return -toward * self.behind
        out = aside / off if off > 1 else np.array([-toward[1], toward[0]])
        if off < _ASIDE - 15:  # out of the block's way first, then back past it
            return along * toward + _ASIDE * out
        return -self.behind * toward + _ASIDE * out


@dataclass(frozen=True, slots=True)
class StayPut(RowByRow):
    """Sends PushT's pusher to where it already is: doing nothing, as PushT words it."""

    def __call__(self, observation: Observation) -> Float32[np.ndarray, 2]:
        """Gives the commanded place: float32 (2,), board units."""
        return _kept_on_board(observation.state)


def _kept_on_board(place: Float[np.ndarray, 2] | Float32[np.ndarray, 2]) -> Float32[np.ndarray, 2]:
    return np.clip(place, PUSHER_RADIUS, _BOARD - PUSHER_RADIUS).astype(np.float32)
