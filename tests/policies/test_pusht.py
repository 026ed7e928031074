from __future__ import annotations

import numpy as np
import pytest

from chronosim.policies.pusht import AllSides, Pusher, PusherMix
from chronosim.prompters.pushing import Pushing
from chronosim.scenarios.board import block_pose
from chronosim.simulators.pusht import PushTSimulator
from chronosim.types import Observation


@pytest.mark.parametrize("seed", [9, 10, 13])
def test_the_pusher_covers_the_goal(seed: int) -> None:
    simulator, prompter, policy = PushTSimulator(stride=9), Pushing(), Pusher()
    frame, values = simulator.reset(seed)
    observation = Observation(frame, prompter.begin(values))
    for _ in range(40):
        action = policy(observation)
        prediction, _, ended = simulator.step(action)
        assert prediction is not None
        observation = Observation(prediction.frame, prompter(observation, action)[1])
        if ended:
            return
    assert simulator.coverage > 0.8


def test_without_a_block_the_pusher_stays() -> None:
    at = np.array([100.0, 200.0], np.float32)
    white = np.full((96, 96, 3), 255, np.uint8)
    assert np.array_equal(Pusher()(Observation(white, at)), at)


def test_the_mix_is_many_pushers() -> None:
    frame, values = PushTSimulator().reset(4)
    observation = Observation(frame, Pushing().begin(values))
    space = Pushing().action_space
    drawn = [[mix(observation) for _ in range(30)] for mix in map(PusherMix, (0, 0, 1))]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert all(space.contains(action) for actions in drawn for action in actions)
    ways = np.linalg.norm(np.array(drawn[2]) - observation.state, axis=1)
    assert ways.min() < 60 < 150 < ways.max()


def test_all_sides_are_pushed_and_sometimes_nothing_is_done() -> None:
    simulator, prompter, moved, stayed = PushTSimulator(stride=9), Pushing(), 0, 0
    middles = []
    for seed in (5, 6, 7):
        policy, (frame, values) = AllSides(seed), simulator.reset(seed)
        observation = Observation(frame, prompter.begin(values))
        first = policy(observation)
        assert np.array_equal(first, AllSides(seed)(observation))
        for _ in range(30):
            action = policy(observation)
            assert action in prompter.action_space
            before, place = block_pose(observation.frame), observation.state
            prediction, _, _ = simulator.step(action)
            assert prediction is not None
            observation = Observation(prediction.frame, prompter(observation, action)[1])
            after = block_pose(observation.frame)
            assert before is not None
            assert after is not None
            middles.append((after.x, after.y))
            moved += np.hypot(after.x - before.x, after.y - before.y) > 20
            stayed += np.array_equal(action, place)
    assert moved >= 10
    assert 1 <= stayed < 30
    assert np.abs(np.array(middles) - 256).max() < 190  # a wall is where half a T further begins
