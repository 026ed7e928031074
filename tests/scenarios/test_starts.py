from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from chronosim.errors import EpisodeNotFound, InvalidEpisode, InvalidFrame
from chronosim.policies.carracing import LaneFollower
from chronosim.prompters.driving import Driving
from chronosim.rollouts import record
from chronosim.scenarios.carracing import may_begin
from chronosim.scenarios.road import road_share
from chronosim.scenarios.starts import load_starts, save_starts
from chronosim.simulators.carracing import CarRacingSimulator


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    simulator = partial(CarRacingSimulator, hold=18, stride=18)
    record(simulator, Driving(), LaneFollower(), folder, seeds=(1, 2), steps=8)
    return folder


def test_save_and_load(dataset: Path, tmp_path: Path) -> None:
    save_starts(dataset, tmp_path / "a.npz", names=["speed"], fits=may_begin, count=6)
    starts = load_starts(tmp_path / "a.npz")
    assert starts.frames.shape == (6, 96, 96, 3)
    assert list(starts.values) == ["speed"]
    assert (starts.values["speed"] >= 5).all()
    assert all(road_share(frame, 8) >= 0.45 for frame in starts.frames)
    assert len({frame.tobytes() for frame in starts.frames}) == 6
    save_starts(dataset, tmp_path / "b.npz", names=["speed"], fits=may_begin, count=6)
    assert np.array_equal(load_starts(tmp_path / "b.npz").frames, starts.frames)


def test_episodes_below_the_first_seed_are_left_out(dataset: Path, tmp_path: Path) -> None:
    save_starts(dataset, tmp_path / "a.npz", names=["speed"], count=3, first_seed=2)
    with pytest.raises(InvalidEpisode, match="but 64 were asked for"):
        save_starts(dataset, tmp_path / "b.npz", names=["speed"], first_seed=2)
    assert not (tmp_path / "b.npz").exists()


def test_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(EpisodeNotFound):
        save_starts(tmp_path / "nothing", tmp_path / "a.npz", names=[])


def test_states_are_named_in_full(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidEpisode, match="states of 1 numbers, but 2 are named: x, y"):
        save_starts(dataset, tmp_path / "a.npz", names=["x", "y"], count=1)
    assert not (tmp_path / "a.npz").exists()


def test_an_npz_brings_the_values_it_holds(tmp_path: Path) -> None:
    frames = np.arange(2 * 12, dtype=np.uint8).reshape(2, 2, 2, 3)
    np.savez(tmp_path / "a.npz", frames=frames, x=np.array([1, 2]), y=np.array([3.0, 4.0]))
    starts = load_starts(tmp_path / "a.npz")
    drawn = [starts.draw(np.random.default_rng(seed)) for seed in range(20)]
    assert {(values["x"], values["y"]) for _, values in drawn} == {(1.0, 3.0), (2.0, 4.0)}
    for frame, values in drawn:
        assert np.array_equal(frame, frames[int(values["x"]) - 1])
    np.savez(tmp_path / "b.npz", frames=frames)
    assert load_starts(tmp_path / "b.npz").draw(np.random.default_rng(0))[1] == {}
    with pytest.raises(InvalidFrame, match="and x, float"):
        load_starts(tmp_path / "b.npz", {"x": 0.0})
