"""Scripted CarRacing drivers; they read the road off the frame, never the simulator's state."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32

from chronosim.policies.acting import RowByRow
from chronosim.scenarios.road import CAR, road_mask
from chronosim.types import Observation

_CAR_ROW, _CAR_COLUMN = 70, 48  # where CarRacing's camera keeps the car, of 96 rows and columns
_Action = Float32[np.ndarray, "3"]

# Of `StopAndGo`: least and most of an action; steps that a phase lasts at most; in what share of
# them the wheels are turned anyhow, not along the road.
_RANGE = ((-1.0, 0.0, 0.0), (1.0, 1.0, 1.0))
_LONGEST = {"drive": 8, "brake": 4, "stand": 5, "creep": 4, "coast": 3, "swerve": 3}
_TURNED = {"drive": 0.0, "brake": 0.4, "stand": 0.6, "creep": 0.4, "coast": 0.5, "swerve": 1.0}


@dataclass(frozen=True, slots=True)
class LaneFollower(RowByRow):
    """Steers towards the middle of the road ahead and keeps a speed.

    Attributes:
        target_speed: m/s that throttle and brake aim at.
        lookahead: Rows ahead of the car to aim at (1 row is about half a metre).
        gain: Steering per radian of aim.
    """

    target_speed: float = 18.0
    lookahead: int = 22
    gain: float = 0.6

    def __call__(self, observation: Observation) -> _Action:
        """Chooses steering, throttle and brake: float32 (3,)."""
        aim = self._aim(road_mask(observation.frame))
        steering = float(np.clip(self.gain * aim, -0.4, 0.4))
        target = self.target_speed * (1 - 0.5 * min(abs(aim), 1.0))
        error = target - float(observation.state[0])
        throttle = float(np.clip(0.015 * error, 0.0, 0.25))
        brake = float(np.clip(-0.01 * (error + 4), 0.0, 0.2))
        return np.array([steering, throttle, brake], np.float32)

    def _aim(self, road: Bool[np.ndarray, "height width"]) -> float:
        """The angle from straight ahead to the road's middle, radians, positive to the right."""
        column: float = _CAR_COLUMN
        target_row = _CAR_ROW - self.lookahead
        for row in range(_CAR_ROW - 4, target_row - 1, -1):
            columns = np.flatnonzero(road[row])
            if columns.size:
                runs = np.split(columns, np.flatnonzero(np.diff(columns) > 3) + 1)
                column = min((float(run.mean()) for run in runs), key=lambda x: abs(x - column))
        if not road[target_row : _CAR_ROW - 4].any():
            columns = np.flatnonzero(road.any(axis=0))
            column = float(columns.mean()) if columns.size else _CAR_COLUMN
        return float(np.arctan2(column - _CAR_COLUMN, self.lookahead))


@dataclass(slots=True)
class DriverMix(RowByRow):
    """Drives as many different people would: one temper an episode, and whims on the way.

    Each episode draws a lane follower of random speed and a share of steps at which it does
    something else: coasts, brakes, swerves, or acts at random. It is the policy that training data
    is recorded under, so that every action is seen in many places.

    Attributes:
        seed: Seed of the temper and the whims.
    """

    seed: int = 0
    _rng: np.random.Generator = field(init=False, repr=False)
    _driver: LaneFollower = field(init=False, repr=False)
    _whim: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._driver = LaneFollower(
            target_speed=float(self._rng.uniform(8, 35)), gain=float(self._rng.uniform(0.4, 0.9))
        )
        self._whim = float(self._rng.choice([0.15, 0.35, 0.6]))

    def __call__(self, observation: Observation) -> _Action:
        """Chooses steering, throttle and brake: float32 (3,)."""
        usual = self._driver(observation)
        if self._rng.random() >= self._whim:
            noise = self._rng.normal(0, (0.05, 0.03, 0.0)).astype(np.float32)
            return np.clip(usual + noise, (-1, 0, 0), (1, 1, 1)).astype(np.float32)
        return self._whimsy()

    def _whimsy(self) -> _Action:
        rng = self._rng
        swerve = rng.uniform(-0.5, 0.5) if rng.random() < 0.8 else rng.uniform(-1, 1)
        throttle = rng.choice([0.0, rng.uniform(0, 0.3), rng.uniform(0, 1)], p=[0.4, 0.5, 0.1])
        brake = rng.choice([0.0, rng.uniform(0, 0.3), rng.uniform(0, 1)], p=[0.75, 0.15, 0.1])
        return np.array([swerve, throttle, brake], np.float32)


@dataclass(slots=True)
class RoadBalance(RowByRow):
    """Steers by how much more road lies ahead on one side than on the other, and by its change.

    A proportional-differential controller on one feature, the difference of the two areas over
    their sum. Beside `LaneFollower` it aims at no point, follows no line, and remembers a frame.

    Attributes:
        target_speed: m/s that throttle and brake aim at.
        rows: Rows ahead of the car in which the road is weighed (1 row is about half a metre).
        gain: Steering per unit of the difference, which is -1 (all on the left) to 1.
        damping: Steering per unit by which the difference grew since the last step.
    """

    target_speed: float = 15.0
    rows: int = 30
    gain: float = 0.5
    damping: float = 0.15
    _before: float | None = field(init=False, repr=False, default=None)

    def __call__(self, observation: Observation) -> Float32[np.ndarray, 3]:
        """Chooses steering, throttle and brake: float32 (3,)."""
        row, column = CAR
        ahead = road_mask(observation.frame)[max(row - self.rows, 0) : row]
        left, right = float(ahead[:, :column].sum()), float(ahead[:, column:].sum())
        lean = (right - left) / max(left + right, 1.0)
        growth = 0.0 if self._before is None else lean - self._before
        self._before = lean
        steering = float(np.clip(self.gain * lean + self.damping * growth, -0.4, 0.4))
        error = self.target_speed - float(observation.state[0])
        throttle, brake = np.clip([0.02 * error, -0.02 * (error + 3)], 0.0, (0.25, 0.2))
        return np.array([steering, throttle, brake], np.float32)


@dataclass(frozen=True, slots=True)
class RoadLeaver(RowByRow):
    """Steers off the road, to the side on which there is less of it.

    Attributes:
        steering: How far, 0 to 1; the wheels turn no further than 0.4.
        throttle: 0 to 1.
    """

    steering: float = 0.4
    throttle: float = 0.2

    def __call__(self, observation: Observation) -> Float32[np.ndarray, 3]:
        """Chooses steering, throttle and brake: float32 (3,)."""
        row, column = CAR
        near = road_mask(observation.frame)[row - 30 : row]
        side = -1.0 if near[:, :column].sum() < near[:, column:].sum() else 1.0
        return np.array([side * self.steering, self.throttle, 0.0], np.float32)


@dataclass(slots=True)
class StopAndGo(RowByRow):
    """Drives for a while, then brakes, stands, creeps, coasts or swerves for a while: all in turn.

    `DriverMix` hardly ever comes to a stand. Here every phase lasts 1 to 8 steps, and what is drawn
    for it holds until the next: the speed to drive at, how hard the brake is held, how far the
    wheels are turned meanwhile. Training data recorded under it show what braking does.

    Attributes:
        seed: Seed of the phases.
    """

    seed: int = 0
    _rng: np.random.Generator = field(init=False, repr=False)
    _driver: LaneFollower = field(init=False, repr=False)
    _phase: str = field(init=False, repr=False, default="")
    _left: int = field(init=False, repr=False, default=0)
    _turned: float | None = field(init=False, repr=False, default=None)
    _pedals: tuple[float, float] = field(init=False, repr=False, default=(0.0, 0.0))

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._driver = LaneFollower()

    def __call__(self, observation: Observation) -> _Action:
        """Chooses steering, throttle and brake: float32 (3,)."""
        if not self._left:
            self._begin(float(observation.state[0]))
        self._left -= 1
        usual = self._driver(observation)
        if self._phase == "drive":
            return np.clip(usual + self._rng.normal(0, (0.04, 0.03, 0)), *_RANGE).astype(np.float32)
        steering = usual[0] if self._turned is None else self._turned
        return np.array([steering, *self._pedals], np.float32)

    def _begin(self, speed: float) -> None:
        """Draws a phase, how long it lasts and what is held in it."""
        rng = self._rng
        moving = {"drive": 0.32, "brake": 0.33, "stand": 0.05, "coast": 0.14, "swerve": 0.16}
        still = {"drive": 0.45, "stand": 0.33, "creep": 0.16, "swerve": 0.06}
        odds = moving if speed > 2 else still
        self._phase = str(rng.choice([*odds], p=[*odds.values()]))
        self._left = int(rng.integers(1, _LONGEST[self._phase] + 1))
        self._turned = float(rng.uniform(-1, 1)) if rng.random() < _TURNED[self._phase] else None
        if self._phase == "drive":
            self._driver = LaneFollower(target_speed=float(rng.uniform(6, 40)))
        hard = float(rng.uniform(0.3, 1.0) if rng.random() < 0.75 else rng.uniform(0.03, 0.3))
        rest = hard if rng.random() < 0.4 else 0.0
        self._pedals = {
            "brake": (0.0, hard),
            "stand": (0.0, rest),
            "creep": (float(rng.uniform(0.01, 0.1)), 0.0),
            "swerve": (float(rng.uniform(0, 1) ** 2), float(rng.choice([0.0, rest]))),
        }.get(self._phase, (0.0, 0.0))
