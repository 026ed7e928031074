"""Moments of the reference simulator: the same state, other actions, truly other outcomes."""

from itertools import combinations

import numpy as np
import pytest

from chronosim.adapters.policies.carracing import DriverMix
from chronosim.adapters.prompters.driving import DrivingPrompter
from chronosim.adapters.simulators.carracing import CarRacingSimulator
from chronosim.evaluation import Moment, draw_moments
from chronosim.evaluation.fidelity import squared_error
from chronosim.scenarios.road import DASHBOARD_ROW
from chronosim.types import Observation


@pytest.fixture(scope="module")
def moments() -> list[Moment]:
    return list(
        draw_moments(
            2,
            simulator=CarRacingSimulator(18, 18),
            prompter=DrivingPrompter(),
            policy=DriverMix,
            first_seed=7_000_000,
            others=2,
        )
    )


def test_outcomes_are_apart(moments: list[Moment]) -> None:
    for moment in moments:
        assert len(moment.actions) == len(moment.texts) == len(moment.outcomes) == 3
        for a, b in combinations(moment.outcomes, 2):
            assert squared_error(a[:DASHBOARD_ROW], b[:DASHBOARD_ROW]) >= 10**2


def test_the_first_outcome_is_what_the_simulator_does_without_branching(
    moments: list[Moment],
) -> None:
    moment = moments[0]
    simulator, prompter = CarRacingSimulator(18, 18), DrivingPrompter()
    policy = DriverMix(moment.seed)
    frame, values = simulator.reset(moment.seed)
    observation = Observation(frame, prompter.begin(values))
    for step in range(moment.observation.step + 1):
        if step == moment.observation.step:
            np.testing.assert_array_equal(observation.frame, moment.observation.frame)
        action = policy(observation)
        text, state = prompter(observation, action)
        prediction, _, _ = simulator.step(action)
        assert prediction is not None
        observation = Observation(prediction.frame, state, step + 1)
    assert text == moment.texts[0]
    assert prediction is not None
    np.testing.assert_array_equal(prediction.frame, moment.outcomes[0])
