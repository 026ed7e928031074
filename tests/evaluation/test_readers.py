"""Readers tell of true frames what the simulators know, and trials catch models by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from chronosim.evaluation import BoardReader, Moment, RoadReader, Term, Trial, car_motion
from chronosim.evaluation.terms import Reading, hold_trials, read_rollouts, turned
from chronosim.prompters import Driving, Pushing
from chronosim.simulators import CarRacingSimulator, PushTSimulator
from chronosim.types import Frame, Observation, Prediction
from chronosim.world import World


@pytest.fixture(scope="module")
def drive() -> list[tuple[Frame, float, float]]:
    """A frame after each held action, and the car's true movement: metres ahead, degrees right."""
    simulator = CarRacingSimulator(stride=18)
    frame, _ = simulator.reset(3)
    hull: Any = simulator._env.car.hull
    found = [(frame, 0.0, 0.0)]
    for action in [(0, 0.5, 0), (0, 0.2, 0), (0.1, 0, 0), (-0.1, 0.0, 0), (0.1, 0, 0), (0, 0, 1)]:
        place, angle = np.array(hull.position), hull.angle
        prediction, _, _ = simulator.step(np.array(action, np.float32))
        assert prediction is not None
        ahead = np.array([-math.sin(hull.angle), math.cos(hull.angle)])
        way = float((np.array(hull.position) - place) @ ahead)
        found.append((prediction.frame, way, math.degrees(angle - hull.angle)))
    return found


def test_a_drive_is_read_in_metres_and_degrees(drive: list[tuple[Frame, float, float]]) -> None:
    assert max(way for _, way, _ in drive) > 4
    assert max(abs(turn) for *_, turn in drive) > 5
    for (before, *_), (after, way, turn) in pairwise(drive):
        moved = car_motion(before, after)
        assert moved is not None
        assert moved.ahead == pytest.approx(way, abs=0.6)
        assert moved.turn == pytest.approx(turn, abs=2)


def test_ground_that_is_not_there_is_not_found(drive: list[tuple[Frame, float, float]]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    assert car_motion(drive[0][0], noise) is None
    assert "moved ahead, m" not in RoadReader().read(drive[0][0], noise)


def test_the_board_is_read_as_the_simulator_has_it() -> None:
    simulator, reader = PushTSimulator(), BoardReader()
    for seed in range(4):
        frame, values = simulator.reset(seed)
        block = simulator._env.block
        pusher, place, angle, area, shape = reader.read(frame, frame).values()
        assert pusher == pytest.approx((values["x"] / 5.12, values["y"] / 5.12), abs=0.6)
        assert place == pytest.approx(block.local_to_world((0, 40.714)) / 5.12, abs=0.8)
        assert turned(angle, (math.degrees(block.angle),)) < 5
        assert area[0] == pytest.approx(1, abs=0.1)
        assert shape[0] == pytest.approx(0.85, abs=0.06)


class Still:
    """The world stands still, and the pusher is painted over."""

    identity: Mapping[str, Any] = {"name": "still"}

    def predict(self, prompts: Any) -> list[Prediction]:
        return [Prediction(np.where(_blue(p.frame), 255, p.frame)[None]) for p in prompts]


def _blue(frame: Frame) -> np.ndarray:
    return (frame[..., 2:] > 200) & (frame[..., :1] < 200)


def moments_of(frame: Frame, state: Sequence[float], action: Sequence[float]) -> list[Moment]:
    seen = Observation(frame, np.array(state, np.float32))
    one = Moment(0, seen, (np.array(action, np.float32),), frame[None], frame[None][:0])
    return [replace(one, seed=seed) for seed in range(8)]


def found(reader: Any, prompter: Any, moments: Sequence[Moment]) -> dict[str, bool]:
    findings, silent = hold_trials(reader, World(Still(), prompter), moments, seed=0)
    assert silent == ()
    return {finding.name: finding.found for finding in findings}


def test_a_car_that_stands_under_full_throttle(drive: list[tuple[Frame, float, float]]) -> None:
    assert found(RoadReader(), Driving(), moments_of(drive[3][0], [12.0], [0, 0, 0])) == {
        "moves at 0 m/s": False,
        "moves on under full brake": False,
        "stands under full throttle": True,
    }


def test_a_pusher_that_vanishes_and_a_block_that_stays_a_block() -> None:
    frame, values = PushTSimulator().reset(1)
    moments = moments_of(frame, [values["x"], values["y"]], [256, 256])
    assert found(BoardReader(), Pushing(), moments) == {
        "the block moves untouched": False,
        "the pusher vanishes": True,
        "the block is no T": False,
    }


def test_too_few_answers_are_said() -> None:
    class Blind(RoadReader):
        @property
        def trials(self) -> Sequence[Trial]:
            return (Trial("moves", lambda o, a: (o, a), lambda step: None, 1.0, True, "Metres"),)

    frame, _ = CarRacingSimulator().reset(0)
    moments = moments_of(frame, [0.0], [0, 0, 0])
    findings, (sentence,) = hold_trials(Blind(), World(Still(), Driving()), moments, seed=0)
    assert findings == []
    assert "only 0 of 8 answers" in sentence


class Brightness:
    """Reads how bright a frame is, and nothing of a dark one."""

    terms = (Term("brightness"),)
    trials: Sequence[Trial] = ()

    def read(self, before: Frame, after: Frame) -> Reading:
        return {} if after.mean() < 10 else {"brightness": (float(after.mean()),)}


def test_rollouts_stand_beside_the_oracle_and_a_copy() -> None:
    def frames(*levels: int) -> np.ndarray:
        return np.stack([np.full((4, 4, 3), level, np.uint8) for level in levels])

    true = [frames(100, 100), frames(110, 120), frames(120, 140)]
    imagined, shown = [frames(112, 122), frames(120, 0)], [frames(111, 121), frames(121, 141)]
    rows, values = read_rollouts(Brightness(), true, imagined, shown)
    assert {name: figures for name, figures, _ in rows} == {
        "brightness: model": [2.0, 0.0],
        "brightness: oracle": [1.0, 1.0],
        "brightness: copy of the first frame": [15.0, 30.0],
        "brightness: model, cannot be read": [0.0, 0.5],
    }
    assert values["brightness"]["lost"] == [0.0, 0.5]
