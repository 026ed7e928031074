"""Reads PushT's own frames, beside the truth about its block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chronosim.errors import InvalidFrame
from chronosim.policies.pusht import PusherMix
from chronosim.prompters.pushing import Pushing
from chronosim.scenarios.board import GOAL, block_pose, goal_coverage, pusher_place
from chronosim.scenarios.pusht import PushTScenario
from chronosim.scenarios.road import road_mask
from chronosim.simulators.pusht import PushTSimulator
from chronosim.testing import check_scenario
from chronosim.types import Frame, Observation, Prediction


def goal_reached() -> tuple[Frame, float]:
    simulator = PushTSimulator()
    simulator._env.reset(options={"reset_to_state": [40.0, 40.0, 256.0, 256.0, np.pi / 4]})
    # The simulator turns the block about another point than the one it places: mend it.
    simulator._env.block.angle = np.pi / 4
    simulator._env.block.position = (256.0, 256.0)
    simulator._env.space.step(0.01)  # what is drawn follows the body only in a step
    return simulator._frame(), simulator.coverage


def test_contract() -> None:
    check_scenario(PushTScenario(), Pushing())


def test_frames_of_another_size_are_refused() -> None:
    small, large = np.zeros((64, 64, 3), np.uint8), np.zeros((128, 128, 3), np.uint8)
    for frame in (small, large):
        for read in (block_pose, pusher_place, goal_coverage, road_mask):
            with pytest.raises(InvalidFrame, match="of 96 x 96, not of"):
                read(frame)


@pytest.mark.slow
def test_shipped_starts_show_block_and_pusher() -> None:
    frames, scenario = set(), PushTScenario()
    for seed in range(200):
        frame, values = scenario.begin(np.random.default_rng(seed))
        assert block_pose(frame) is not None
        assert set(values) == {"x", "y"}
        frames.add(frame.tobytes())
    assert len(frames) >= 50


@pytest.mark.slow
def test_readings_agree_with_the_simulator() -> None:
    simulator, prompter = PushTSimulator(stride=9), Pushing()
    coverage, places, angles = [], [], []
    for seed in range(6):
        policy = PusherMix(seed)
        frame, values = simulator.reset(seed)
        observation = Observation(frame, prompter.begin(values))
        for _ in range(25):
            action = policy(observation)
            prediction, _, _ = simulator.step(action)
            assert prediction is not None
            observation = Observation(prediction.frame, prompter(observation, action)[1])
            coverage.append((goal_coverage(prediction.frame), simulator.coverage))
            pose, body = block_pose(prediction.frame), simulator._env.block
            assert pose is not None
            middle = body.local_to_world((0, 40.714))
            places.append(np.hypot(pose.x - middle[0], pose.y - middle[1]))
            angles.append(abs(np.angle(np.exp(1j * (pose.angle - body.angle)))))
            seen = pusher_place(prediction.frame)
            assert seen is not None
            assert np.allclose(seen, simulator._env.agent.position, atol=5)
    assert np.corrcoef(np.array(coverage).T)[0, 1] >= 0.98
    assert np.median(places) < 3  # board units: half a pixel
    assert np.median(angles) < 0.05


def test_the_goal_covered_is_the_end() -> None:
    frame, truth = goal_reached()
    pose = block_pose(frame)
    assert pose is not None
    assert truth > 0.99
    assert (pose.x, pose.y) == pytest.approx((GOAL.x, GOAL.y), abs=3)
    outcome = Observation(frame, np.zeros(2, np.float32), 1)
    judged = PushTScenario().score(outcome, None, Prediction(frame[None]), outcome)
    assert judged == (1.0, True)


def test_an_empty_board_covers_nothing() -> None:
    white = np.full((96, 96, 3), 255, np.uint8)
    assert pusher_place(white) is None
    assert block_pose(white) is None
    assert goal_coverage(white) == 0.0


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (np.full((96, 96, 3), 255, np.uint8), "first frame 0 shows no pusher"),
        (np.full((48, 48, 3), 255, np.uint8), r"must be 96 x 96, not \(48, 48\)"),
    ],
)
def test_bad_starts(tmp_path: Path, frame: Frame, sentence: str) -> None:
    Image.fromarray(frame).save(tmp_path / "0.png")
    with pytest.raises(InvalidFrame, match=sentence):
        PushTScenario(starts=tmp_path)
