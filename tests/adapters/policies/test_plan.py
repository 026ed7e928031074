from __future__ import annotations

import numpy as np
import pytest

from chronosim.errors import InvalidConfig
from chronosim.policies.basic import Planned
from chronosim.types import Observation


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
