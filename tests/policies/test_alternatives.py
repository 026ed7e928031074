"""Other actions: all possible, no two alike, and many different ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chronosim.policies.alternatives import AnyDrive, AnyPush
from chronosim.prompters.driving import Driving
from chronosim.prompters.pushing import Pushing
from chronosim.types import Observation

FRAME = np.zeros((96, 96, 3), np.uint8)


@pytest.mark.parametrize(
    ("policy", "prompter", "values"),
    [(AnyDrive, Driving(), {}), (AnyPush, Pushing(), {"x": 480.0, "y": 30.0})],
)
def test_they_can_be_worded_and_repeat_by_seed(
    policy: Any, prompter: Any, values: dict[str, float]
) -> None:
    observation = Observation(FRAME, prompter.begin(values))
    first, again, other = policy(3), policy(3), policy(4)
    drawn = [first(observation) for _ in range(200)]
    np.testing.assert_array_equal(drawn, [again(observation) for _ in range(200)])
    assert not np.array_equal(drawn[0], other(observation))
    for action in drawn:
        assert action in prompter.action_space
        prompter(observation, action)
    assert len(np.unique(drawn, axis=0)) > 150  # at the edges some are alike


def test_pushes_are_mostly_near_and_sometimes_far() -> None:
    place = np.array([400, 100], np.float32)
    policy = AnyPush(0)
    drawn = [policy(Observation(FRAME, place)) for _ in range(400)]
    away = np.linalg.norm(np.array(drawn) - place, axis=1)
    assert 0.5 < (away < 200).mean() < 0.9
    assert away.max() > 350
