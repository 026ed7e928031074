from __future__ import annotations

import numpy as np
import pytest

from chronosim.errors import InvalidAction, ResetNeeded
from chronosim.scenarios.board import pusher_place
from chronosim.simulators.pusht import PushTSimulator
from chronosim.simulators.reference import ReferenceSimulator, branch

TARGET = np.array([380.0, 120.0], np.float32)


def test_repeats_by_seed_drawn_or_not() -> None:
    drawn, undrawn = PushTSimulator(6, 2), PushTSimulator(6, 2)
    assert isinstance(drawn, ReferenceSimulator)
    frame, values = drawn.reset(5)
    assert np.array_equal(frame, undrawn.reset(5)[0])
    assert set(values) == {"x", "y"}
    drawn.step(TARGET)
    assert undrawn.step(TARGET, draw=False)[0] is None
    ours, theirs = (simulator.step(TARGET / 2)[0] for simulator in (drawn, undrawn))
    assert ours is not None
    assert theirs is not None
    assert ours.trajectory.shape == (3, 96, 96, 3)
    assert np.array_equal(ours.trajectory, theirs.trajectory)


def test_the_pusher_arrives_wherever_it_is_sent() -> None:
    # That is what the prompter's dead reckoning counts on.
    simulator = PushTSimulator()
    assert simulator.seconds_per_step == pytest.approx(0.9)
    simulator.reset(0)
    for target in ([20, 20], [492, 492], [20, 492]):
        simulator.step(np.array(target, np.float32))
        assert np.allclose(simulator._env.agent.position, target, atol=2.0)  # of 512 board units


def test_branches_share_their_past_and_differ_by_the_action() -> None:
    simulator = PushTSimulator()
    simulator.reset(3)
    simulator.step(TARGET)
    went, _, _ = simulator.step(TARGET / 2)
    assert went is not None
    again = branch(simulator, 3, [TARGET], TARGET / 2)
    other = branch(simulator, 3, [TARGET], TARGET / 3)
    assert np.array_equal(went.trajectory, again.trajectory)
    place = pusher_place(other.frame)
    assert place is not None
    assert np.allclose(place, TARGET / 3, atol=4)


def test_bad_input() -> None:
    with pytest.raises(ResetNeeded):
        PushTSimulator().step(TARGET)
    with pytest.raises(InvalidAction, match="stride 4 must divide hold 6"):
        PushTSimulator(6, 4)
