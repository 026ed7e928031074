from __future__ import annotations

import numpy as np

from chronosim.policies.carracing import DriverMix, LaneFollower, StopAndGo
from chronosim.prompters.driving import Driving
from chronosim.simulators.carracing import CarRacingSimulator
from chronosim.types import Observation


def road(columns: slice, rows: slice = slice(0, 84)) -> Observation:
    frame = np.full((96, 96, 3), (100, 204, 100), np.uint8)
    frame[rows, columns] = 102
    return Observation(frame, np.array([15.0], np.float32))


def test_steers_towards_the_road() -> None:
    driver = LaneFollower()
    assert abs(driver(road(slice(38, 58)))[0]) < 0.02
    assert driver(road(slice(20, 40)))[0] < -0.1
    assert driver(road(slice(56, 76)))[0] > 0.1


def test_keeps_its_speed() -> None:
    straight = road(slice(38, 58))
    slow, fast = (Observation(straight.frame, np.array([v], np.float32)) for v in (2.0, 60.0))
    assert LaneFollower()(slow)[1] > 0.1
    assert LaneFollower()(fast)[2] > 0.1


def test_stays_on_the_road_of_the_simulator() -> None:
    simulator, prompter, driver = CarRacingSimulator(18, 18), Driving(), LaneFollower()
    frame, values = simulator.reset(3001)
    observation = Observation(frame, prompter.begin(values))
    on_road = []
    for step in range(25):
        action = driver(observation)
        _, state = prompter(observation, action)
        prediction, _, _ = simulator.step(action)
        assert prediction is not None
        observation = Observation(prediction.frame, state, step + 1)
        on_road.append(simulator.on_road)
    assert np.mean(on_road) >= 0.9
    assert simulator.speed > 5


def test_mix_is_varied_and_repeats_by_seed() -> None:
    straight = road(slice(38, 58))
    space = Driving().action_space
    runs = {seed: [DriverMix(seed) for _ in range(2)] for seed in range(5)}
    actions = {
        seed: [np.stack([driver(straight) for _ in range(30)]) for driver in pair]
        for seed, pair in runs.items()
    }
    for first, again in actions.values():
        assert np.array_equal(first, again)
        assert all(action in space for action in first)
    everything = np.concatenate([first for first, _ in actions.values()])
    assert (everything.std(axis=0) > 0.05).all()
    assert not np.array_equal(actions[0][0], actions[1][0])


def test_stop_and_go_stops_stands_and_goes() -> None:
    simulator, prompter, driver = CarRacingSimulator(18, 18), Driving(), StopAndGo(3)
    frame, values = simulator.reset(3002)
    observation = Observation(frame, prompter.begin(values))
    speeds, actions = [], []
    for _ in range(50):
        actions.append(driver(observation))
        _, state = prompter(observation, actions[-1])
        simulator.step(actions[-1], draw=False)
        observation = Observation(frame, state)
        speeds.append(simulator.speed)
    assert all(action in prompter.action_space for action in actions)
    standing = np.array(speeds) < 0.5
    assert 0.15 < standing.mean() < 0.85
    assert np.abs(np.diff(standing.astype(int))).sum() >= 4
    again = StopAndGo(3)
    assert np.array_equal(again(road(slice(38, 58))), StopAndGo(3)(road(slice(38, 58))))
    braked = np.array([action[2] for action in actions])
    assert braked.max() > 0.6
    assert np.abs(np.array(actions)[:, 0]).max() > 0.6
