from __future__ import annotations

import numpy as np
import pytest

from chronosim.errors import InvalidConfig
from chronosim.policies.basic import Constant, Planned, Random
from chronosim.prompters.driving import Driving
from chronosim.types import Observation


@pytest.fixture
def observation() -> Observation:
    return Observation(np.zeros((96, 96, 3), np.uint8), np.zeros(1, np.float32))


def test_random_actions_lie_in_the_space_and_follow_the_seed(observation: Observation) -> None:
    def draw(seed: int) -> list[np.ndarray]:
        policy = Random(Driving(), seed)
        return [policy(observation) for _ in range(50)]

    first, again, other = draw(0), draw(0), draw(1)
    assert all(action in Driving().action_space for action in first)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.ptp(first, axis=0).min() > 0.5, "all of the space is drawn from"


def test_a_constant_policy_gives_an_action_of_its_own_each_time(observation: Observation) -> None:
    policy = Constant([0, 0.25, 0])
    policy(observation)[0] = 1
    assert policy(observation).tolist() == [0, 0.25, 0]
    assert policy(observation).dtype == np.float32


def at(step: int) -> Observation:
    return Observation(np.zeros((8, 8, 3), np.uint8), step=step)


def test_a_plan_is_taken_step_by_step_and_its_end_again_and_again() -> None:
    policy = Planned([[0.1, 0.2], [0.3, 0.4]])
    assert policy(at(0)).dtype == np.float32
    assert policy(at(0)).tolist() == pytest.approx([0.1, 0.2])
    assert policy(at(7)).tolist() == pytest.approx([0.3, 0.4])
    assert Planned(["Turn left."])(at(3)) == "Turn left."
    assert [Planned([2, 0])(at(step)) for step in (0, 1, 2)] == [2, 0, 0]


@pytest.mark.parametrize("actions", [[], "Turn left."])
def test_no_plan(actions: list[str] | str) -> None:
    with pytest.raises(InvalidConfig, match="a list of one action or more"):
        Planned(actions)
