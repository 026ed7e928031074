"""Policies that are there to be ranked: each does what its name says, from the frame alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from chronosim.errors import InvalidConfig, ModelNotFound
from chronosim.policies.basic import Constant
from chronosim.policies.carracing import LaneFollower, RoadBalance, RoadLeaver
from chronosim.policies.cloned import Cloned, clone
from chronosim.policies.handicapped import Handicapped
from chronosim.policies.pusht import Shover, StayPut
from chronosim.policies.road_planner import RoadPlanner
from chronosim.prompters.driving import Driving
from chronosim.scenarios.board import GOAL, block_pose, goal_coverage
from chronosim.simulators.pusht import PushTSimulator
from chronosim.types import Observation


def road(columns: slice, speed: float = 12.0) -> Observation:
    frame = np.full((96, 96, 3), (100, 204, 100), np.uint8)
    frame[:84, columns] = 102
    return Observation(frame, np.array([speed], np.float32))


LEFT, AHEAD, RIGHT = slice(24, 48), slice(38, 58), slice(48, 72)


@pytest.mark.parametrize("driver", [RoadBalance, RoadPlanner])
def test_drivers_steer_towards_the_road(driver: Any) -> None:
    assert driver()(road(LEFT))[0] < -0.05
    assert driver()(road(RIGHT))[0] > 0.05
    assert abs(driver()(road(AHEAD))[0]) < 0.15
    assert driver()(road(AHEAD, 2.0))[1] > 0
    assert driver()(road(AHEAD)) in Driving().action_space


def test_balance_damps_what_it_sees_growing() -> None:
    calm, moved = RoadBalance(), RoadBalance()
    moved(road(LEFT))
    assert moved(road(AHEAD))[0] > calm(road(AHEAD))[0]


def test_a_planner_repeats_by_its_seed() -> None:
    first, again, other = (RoadPlanner(seed)(road(AHEAD)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(InvalidConfig, match="plans=2"):
        RoadPlanner(plans=2)


def test_the_leaver_leaves() -> None:
    assert RoadLeaver()(road(LEFT))[0] > 0.3
    assert RoadLeaver()(road(RIGHT))[0] < -0.3


def test_handicaps() -> None:
    prompter, policy = Driving(), Constant([0.5, 0.2, 0.0])
    observation = road(AHEAD)

    def drive(**handicap: Any) -> np.ndarray:
        hurt = Handicapped(policy, prompter, 0, **handicap)
        return np.stack([hurt(observation) for _ in range(200)])

    np.testing.assert_allclose(drive(), np.tile([0.5, 0.2, 0.0], (200, 1)), atol=1e-6)
    np.testing.assert_allclose(drive(bias=[0.1, 0, 0])[:, 0], 0.7, atol=1e-6)
    noisy = drive(noise=0.05)
    assert noisy[:, 0].std() == pytest.approx(0.1, rel=0.2), "a share of a range of 2"
    assert all(action in prompter.action_space for action in noisy)
    np.testing.assert_array_equal(noisy, drive(noise=0.05))
    whims = (drive(whim=0.3) != drive()).any(axis=1).mean()
    assert whims == pytest.approx(0.3, abs=0.1)


def test_a_late_policy_sees_old_frames() -> None:
    late = Handicapped(LaneFollower(), Driving(), delay=2)
    shown = [road(LEFT), road(RIGHT), road(RIGHT), road(AHEAD), road(AHEAD)]
    steering = [late(observation)[0] for observation in shown]
    fresh = [LaneFollower()(observation)[0] for observation in shown]
    assert steering == [fresh[0], fresh[0], *fresh[:3]]


def test_impossible_handicaps_are_refused() -> None:
    class Speaker(Driving):
        action_space = gym.spaces.Text(10)  # type: ignore[assignment]

    with pytest.raises(InvalidConfig, match="bounded numbers"):
        Handicapped(LaneFollower(), Speaker())
    with pytest.raises(InvalidConfig, match=r"whim=1.5"):
        Handicapped(LaneFollower(), Driving(), whim=1.5)
    with pytest.raises(InvalidConfig, match="or 3 as an action has"):
        Handicapped(LaneFollower(), Driving(), bias=[0.1, 0.1])


def pushed(policy: Any, seed: int, steps: int) -> tuple[float, float, float]:
    """How far the block lies from the goal before and after, and what is covered."""
    simulator = PushTSimulator(9, 9)
    frame, values = simulator.reset(seed)
    observation = Observation(frame, np.array([values["x"], values["y"]], np.float32))
    ways = []
    for step in range(steps + 1):
        pose = block_pose(observation.frame)
        assert pose is not None
        ways.append(float(np.hypot(pose.x - GOAL.x, pose.y - GOAL.y)))
        action = policy(observation)
        prediction, _, _ = simulator.step(action)
        assert prediction is not None
        observation = Observation(prediction.frame, action, step + 1)
    return ways[0], ways[-1], goal_coverage(observation.frame)


@pytest.mark.slow
def test_shovers_and_strays_move_the_block_to_and_fro() -> None:
    shoved = [pushed(Shover(), seed, 10) for seed in (1, 2, 3)]
    strayed = [pushed(Shover(away=True), seed, 10) for seed in (1, 2, 3)]
    assert np.mean([after - before for before, after, _ in shoved]) < -10
    assert np.mean([after - before for before, after, _ in strayed]) > 10
    before, after, _ = pushed(StayPut(), 1, 3)
    assert after == pytest.approx(before, abs=2)


@pytest.mark.slow
def test_a_clone_acts_like_its_teacher(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    seen = [
        road(slice(c, c + 20), float(v))
        for c, v in zip(rng.integers(15, 62, 220), rng.uniform(5, 25, 220), strict=True)
    ]
    actions = np.stack([LaneFollower()(observation) for observation in seen])
    frames = np.stack([observation.frame for observation in seen])
    states = np.stack([observation.state for observation in seen])
    path, space = tmp_path / "a.safetensors", Driving().action_space
    clone(path, frames[:180], states[:180], actions[:180], space=space, width=8, epochs=12)
    policy = Cloned(path)
    told = np.stack([policy(observation) for observation in seen[180:]])
    error = ((told - actions[180:]) ** 2).mean(axis=0)
    assert error[0] < 0.3 * actions[180:, 0].var()
    assert all(action in space for action in told)
    assert repr(policy) == "Cloned('a.safetensors', width=8)"


def test_the_same_seed_learns_the_same(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (20, 96, 96, 3), np.uint8)
    states, actions = np.zeros((20, 1), np.float32), np.zeros((20, 3), np.float32)
    actions[:, 0] = np.linspace(-1, 1, 20)
    kept = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path, space = tmp_path / f"{name}.safetensors", Driving().action_space
        clone(path, frames, states, actions, space=space, width=4, epochs=2, seed=seed)
        kept.append(Cloned(path)(road(AHEAD)))
    np.testing.assert_array_equal(kept[0], kept[1])
    assert not np.array_equal(kept[0], kept[2])


def test_what_is_no_clone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no cloned policy at"):
        Cloned(tmp_path / "nothing.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"no weights")
    with pytest.raises(InvalidConfig, match="holds no cloned policy"):
        Cloned(tmp_path / "other.safetensors")
