"""A CarRacing driver that plans: it tries out ways over the road it sees, and takes the best."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32

from chronosim.errors import InvalidConfig
from chronosim.policies.acting import RowByRow
from chronosim.scenarios.road import CAR, road_mask
from chronosim.types import Observation

# CarRacing draws a window of 1000 x 800 at 2.7 * 6 pixels a metre and scales it to 96 x 96.
_ACROSS, _ALONG = 2.7 * 6 * 96 / 1000, 2.7 * 6 * 96 / 800  # pixels a metre
_WHEELBASE = 3.24  # metres: car_dynamics.WHEELPOS, 80 + 82, times SIZE, 0.02
_LOCK = 0.4  # radians that the wheels turn at most
_POWER, _BRAKES = 1650.0, 90.0  # m^2/s^3 and m/s^2, as Driving reckons
_SECONDS, _TICKS = 0.36, 6  # of a held action, and the moments at which it is looked at
_GAS = 0.3  # throttle or brake at most

_Plans = Float[np.ndarray, "plans depth 2"]


@dataclass(slots=True)
class RoadPlanner(RowByRow):
    """Plans by the cross-entropy method, in a model of its own: a car without slip, on this frame.

    A plan is steering and gas (below 0: brake) of each of the next held actions. Its worth is the
    share of moments at which the car is on the road seen now, plus some for the way it makes. The
    best plans say around which the next are drawn; the first action of the best one is taken. With
    one round it is random shooting.

    Attributes:
        seed: Seed of the plans drawn.
        plans: Drawn a round.
        rounds: How often.
        depth: Held actions (of 0.36 s) that it looks ahead.
        target_speed: m/s beyond which a way counts no more.
        haste: Worth of a whole way at that speed, beside 1 for staying on the road.

    Raises:
        InvalidConfig: Fewer than 8 plans, or less than one round or action.

    Source: de Boer et al., A Tutorial on the Cross-Entropy Method, 2005; an eighth is kept.
    """

    seed: int = 0
    plans: int = 64
    rounds: int = 3
    depth: int = 4
    target_speed: float = 18.0
    haste: float = 0.3
    _rng: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.plans < 8 or self.rounds < 1 or self.depth < 1:
            raise InvalidConfig(
                "a RoadPlanner draws 8 plans or more of 1 action or more in 1 round or more, not "
                f"plans={self.plans}, depth={self.depth}, rounds={self.rounds}"
            )
        self._rng = np.random.default_rng(self.seed)

    def __call__(self, observation: Observation) -> Float32[np.ndarray, 3]:
        """Chooses steering, throttle and brake: float32 (3,)."""
        road, speed = _softened(observation), float(observation.state[0])
        middle = np.zeros((self.depth, 2))
        spread = np.tile([_LOCK / 2, _GAS], (self.depth, 1))
        best = middle
        for _ in range(self.rounds):
            drawn = self._rng.normal(middle, spread, (self.plans, self.depth, 2))
            plans = np.clip(drawn, (-_LOCK, -_GAS), (_LOCK, _GAS))
            order = np.argsort(-self._worth(plans, road, speed))
            kept = plans[order[: self.plans // 8]]
            best, middle, spread = kept[0], kept.mean(axis=0), kept.std(axis=0) + 0.02
        steering, gas = best[0]
        return np.array([steering, max(gas, 0.0), max(-gas, 0.0)], np.float32)

    def _worth(
        self, plans: _Plans, road: Float[np.ndarray, "height width"], speed: float
    ) -> Float[np.ndarray, " plans"]:
        """Drives every plan over the frame; the car's nose points up in it."""
        dt = _SECONDS / _TICKS
        v, heading, x, y = (np.full(len(plans), value) for value in (speed, 0.0, 0.0, 0.0))
        on_road, way = np.zeros(len(plans)), np.zeros(len(plans))
        for steering, gas in np.repeat(plans, _TICKS, axis=1).transpose(1, 2, 0):
            push = _POWER * np.maximum(gas, 0) / (v + 1.5) - _BRAKES * np.sqrt(np.maximum(-gas, 0))
            v = np.clip(v + dt * push, 0.0, 58.0)
            heading = heading + dt * v * np.tan(steering) / _WHEELBASE
            x, y = x + dt * v * np.sin(heading), y + dt * v * np.cos(heading)
            way += dt * np.minimum(v, self.target_speed)
            rows = np.clip(CAR[0] - y * _ALONG, 0, road.shape[0] - 1).astype(int)
            columns = np.clip(CAR[1] + x * _ACROSS, 0, road.shape[1] - 1).astype(int)
            on_road += road[rows, columns]
        ticks = _TICKS * self.depth
        return on_road / ticks + self.haste * way / (ticks * dt * self.target_speed)


def _softened(observation: Observation) -> Float[np.ndarray, "height width"]:
    """How much road is around each place, 0 to 1: the middle of the road is better than its edge.

    The car itself hides the road under it; where it stands counts as road.
    """
    road = road_mask(observation.frame).astype(np.float64)
    row, column = CAR
    road[row - 6 : row + 7, column - 3 : column + 4] = 1.0
    sums = np.pad(road, 4, mode="edge").cumsum(axis=0).cumsum(axis=1)
    sums = np.pad(sums, ((1, 0), (1, 0)))
    size = 8
    boxes = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    return np.asarray(boxes[: road.shape[0], : road.shape[1]] / size**2)
