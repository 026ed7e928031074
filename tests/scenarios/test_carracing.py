"""Scores on frames of CarRacing-v3 itself, beside the truth about its wheels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chronosim.errors import EpisodeNotFound, InvalidFrame
from chronosim.prompters.driving import Driving
from chronosim.scenarios.carracing import CarRacingScenario
from chronosim.scenarios.road import CAR, DASHBOARD_ROW, road_mask, road_share
from chronosim.simulators.carracing import CarRacingSimulator
from chronosim.testing import check_scenario
from chronosim.types import Frame, Observation, Prediction

GRASS = np.full((96, 96, 3), (100, 204, 100), np.uint8)


@pytest.fixture
def scenario() -> CarRacingScenario:
    return CarRacingScenario()


def score(scenario: CarRacingScenario, before: Frame, after: Frame) -> tuple[float, bool]:
    outcome = Observation(after, np.zeros(1, np.float32), 1)
    return scenario.score(Observation(before), None, Prediction(after[None]), outcome)


def test_contract(scenario: CarRacingScenario) -> None:
    check_scenario(scenario, Driving())


def test_shipped_starts_are_moments_on_the_road(scenario: CarRacingScenario) -> None:
    frames = {}
    for seed in range(200):
        frame, values = scenario.begin(np.random.default_rng(seed))
        assert frame.shape == (96, 96, 3)
        assert road_share(frame, 8) >= 0.45
        assert 5 <= values["speed"] <= 60
        frames[frame.tobytes()] = frame
    assert len(frames) >= 50


def test_real_driving(scenario: CarRacingScenario) -> None:
    # Straight on from the start line, then full left until the car has left the road.
    simulator = CarRacingSimulator(hold=18, stride=18)
    before, _ = simulator.reset(3000)
    action = np.array([0.0, 0.15, 0.0], np.float32)
    scores, truths = [], []
    for step in range(16):
        prediction, _, _ = simulator.step(action)
        assert prediction is not None
        scores.append(score(scenario, before, prediction.frame))
        truths.append(simulator.on_road)
        before = prediction.frame
        if step == 3:
            action = np.array([-0.25, 0.1, 0.0], np.float32)
    rewards = [reward for reward, _ in scores]
    assert truths[:4] == [True] * 4
    assert rewards[1:4] == [1.0] * 3
    off = [reward for reward, on_road in zip(rewards, truths, strict=True) if not on_road]
    assert len(off) >= 3
    assert max(off) < 0.5
    assert any(terminated for _, terminated in scores)
    assert not any(terminated for _, terminated in scores[:4])


def test_standing_still_earns_nothing(scenario: CarRacingScenario) -> None:
    frame, _ = scenario.begin(np.random.default_rng(0))
    assert score(scenario, frame, frame) == (0.0, False)
    moved = np.roll(frame, 2, axis=0)
    assert score(scenario, frame, moved)[0] > 0.5
    dashboard = frame.copy()
    dashboard[84:] ^= 255  # only the dashboard changed
    assert score(scenario, frame, dashboard) == (0.0, False)


def test_no_road_is_the_end(scenario: CarRacingScenario) -> None:
    frame, _ = scenario.begin(np.random.default_rng(0))
    assert score(scenario, frame, GRASS) == (0.0, True)
    far = GRASS.copy()
    far[:40] = 102
    assert score(scenario, frame, far) == (0.0, True)
    near = GRASS.copy()
    near[52:58] = 102  # between 13 and 19 pixels ahead: to be reached again
    assert score(scenario, frame, near) == (0.0, False)


def test_own_starts(tmp_path: Path) -> None:
    frames = np.stack([GRASS, GRASS // 2])
    np.savez(tmp_path / "own.npz", frames=frames, speed=np.array([3.0, 4.0]))
    scenario = CarRacingScenario(starts=tmp_path / "own.npz")
    begun = [scenario.begin(np.random.default_rng(seed)) for seed in range(20)]
    assert {values["speed"] for _, values in begun} == {3.0, 4.0}
    check_scenario(scenario, Driving())

    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{index}.png")
    frame, values = CarRacingScenario(tmp_path, speed=7.0).begin(np.random.default_rng(0))
    assert any(np.array_equal(frame, known) for known in frames)
    assert values == {"speed": 7.0}


@pytest.mark.usefixtures("as_users_run_it")
def test_starts_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(EpisodeNotFound, match="no first frames"):
        CarRacingScenario(tmp_path / "nothing.npz")
    with pytest.raises(EpisodeNotFound, match="no PNG"):
        CarRacingScenario(tmp_path)
    for name, arrays, sentence in (
        ("keys", {"frames": GRASS[None]}, "speed"),
        ("float", {"frames": GRASS[None].astype(float), "speed": np.zeros(1)}, "float64"),
        ("grey", {"frames": GRASS[None, ..., 0], "speed": np.zeros(1)}, r"\(1, 96, 96\)"),
        (
            "count",
            {"frames": GRASS[None], "speed": np.zeros(2)},
            "as many finite values of 'speed'",
        ),
        ("size", {"frames": GRASS[None, :64], "speed": np.zeros(1)}, "96 x 96"),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(InvalidFrame, match=sentence):
            CarRacingScenario(tmp_path / f"{name}.npz")
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InvalidFrame, match=r"must be an \.npz"):
        CarRacingScenario(tmp_path / "torn.npz")
    Image.fromarray(GRASS[:64]).save(tmp_path / "a.png")
    with pytest.raises(InvalidFrame, match="96 x 96"):
        CarRacingScenario(tmp_path)


@pytest.mark.parametrize("radius", [1, 8, 20, 60])
def test_the_share_in_a_disc_is_that_of_the_whole_mask(radius: int) -> None:
    frame = np.random.default_rng(0).integers(90, 115, (96, 96, 3), np.uint8)
    rows, columns = np.ogrid[:DASHBOARD_ROW, :96]
    disc = (rows - CAR[0]) ** 2 + (columns - CAR[1]) ** 2 <= radius**2
    frame[::3] = 200
    assert 0 < road_share(frame, radius) == road_mask(frame)[:DASHBOARD_ROW][disc].mean() < 1
