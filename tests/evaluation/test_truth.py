"""Moments of the reference simulator: the same state, other actions, truly other outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidConfig
from chronosim.evaluation import Reference, Region, draw_moments, draw_recordings
from chronosim.evaluation.truth import draw_each, record
from chronosim.metrics.pixels import squared_error
from chronosim.policies.alternatives import AnyDrive
from chronosim.policies.carracing import DriverMix
from chronosim.prompters.driving import Driving
from chronosim.simulators.carracing import CarRacingSimulator


def test_outcomes_are_apart(slider: Reference) -> None:
    moments = list(draw_moments(6, reference=slider, first_seed=5, others=2))
    assert [moment.seed for moment in moments] == [5, 6, 7, 8, 9, 11], "10 ends too early"
    for moment in moments:
        assert len(moment.actions) == len(moment.outcomes) == 3
        for a, b in combinations(moment.outcomes, 2):
            assert squared_error(a, b) >= 10**2


def test_what_came_of_the_taken_action_is_what_comes_without_branching(slider: Reference) -> None:
    [moment] = draw_moments(1, reference=slider, first_seed=8, others=2)
    simulator, policy = slider.simulator(), slider.policy(8)
    way = record(simulator, slider.prompter, policy, 8, moment.observation.step)
    assert way is not None
    np.testing.assert_array_equal(moment.observation.frame, way.observations[-1].frame)
    np.testing.assert_array_equal(moment.observation.state, way.observations[-1].state)
    action = policy(way.observations[-1])
    np.testing.assert_array_equal(action, moment.actions[0])
    prediction, _, _ = simulator.step(action)
    assert prediction is not None
    np.testing.assert_array_equal(prediction.trajectory, moment.trajectory)
    np.testing.assert_array_equal(moment.outcomes[0], moment.trajectory[-1])


def test_what_differs_only_where_it_is_left_out_is_not_apart(slider: Reference) -> None:
    make: Any = slider.simulator
    low = replace(slider, simulator=partial(make, top=12))
    hidden = replace(low, left_out=Region("floor", 12))
    assert len(list(draw_moments(1, reference=low, first_seed=1, others=1))) == 1
    with pytest.raises(InvalidConfig, match="too much alike"):
        list(draw_moments(1, reference=hidden, first_seed=1, others=1))


def test_processes_draw_the_same() -> None:
    reference = Reference(
        partial(CarRacingSimulator, 9, 9), Driving(), DriverMix, AnyDrive, Region("", 84)
    )
    draw = partial(draw_moments, 2, reference=reference, first_seed=7_000_000, others=1, apart=3.0)
    for ours, theirs in zip(draw(workers=1), draw(workers=2), strict=True):
        assert ours.seed == theirs.seed
        np.testing.assert_array_equal(ours.outcomes, theirs.outcomes)
        np.testing.assert_array_equal(ours.actions, theirs.actions)


def test_a_recording_is_what_happened(slider: Reference) -> None:
    recordings = list(draw_recordings(3, reference=slider, steps=4, first_seed=9))
    assert [recording.seed for recording in recordings] == [9, 11, 12], "10 ends too early"
    recording = recordings[0]
    assert len(recording.actions) == 4
    assert [observation.step for observation in recording.observations] == [0, 1, 2, 3, 4]
    simulator = slider.simulator()
    simulator.reset(9)
    place = 9
    for action, after in zip(recording.actions, recording.observations[1:], strict=True):
        prediction, _, _ = simulator.step(action)
        assert prediction is not None
        np.testing.assert_array_equal(after.frame, prediction.frame)
        place += 4 * int(action[0])
        assert after.state == place, "the prompter's own reckoning"


def test_what_gives_nothing_is_passed_over_and_nothing_is_drawn_in_vain() -> None:
    drawn = []

    def draw(seed: int) -> int | None:
        drawn.append(seed)
        return seed if seed % 3 == 0 else None

    found: Iterator[int] = draw_each(draw, 3, first_seed=4, workers=1)
    assert list(found) == [6, 9, 12]
    assert drawn == list(range(4, 13))


def test_processes_keep_the_order() -> None:
    assert list(draw_each(abs, 9, first_seed=5, workers=2)) == list(range(5, 14))


def test_it_does_not_search_for_ever() -> None:
    with pytest.raises(
        InvalidConfig, match=r"100 episodes in a row gave nothing .* smaller apart="
    ):
        list(draw_each(lambda seed: None, 1, first_seed=0, workers=1))
