from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chronosim.adapters.policies.carracing import LaneFollower
from chronosim.adapters.prompters.driving import DrivingPrompter
from chronosim.adapters.simulators.carracing import CarRacingSimulator
from chronosim.adapters.simulators.record import record_episode
from chronosim.errors import EpisodeNotFound, InvalidEpisode
from chronosim.scenarios.road import road_share
from chronosim.scenarios.starts import load_starts, save_starts


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    for seed in (1, 2):
        record_episode(
            folder / f"{seed:07d}",
            simulator=CarRacingSimulator(hold=18, stride=18),
            prompter=DrivingPrompter(),
            policy=LaneFollower(),
            seed=seed,
            steps=8,
        )
    return folder


def test_save_and_load(dataset: Path, tmp_path: Path) -> None:
    save_starts(dataset, tmp_path / "a.npz", count=6)
    starts = load_starts(tmp_path / "a.npz")
    assert starts.frames.shape == (6, 96, 96, 3)
    assert (starts.speed >= 5).all()
    assert all(road_share(frame, 8) >= 0.45 for frame in starts.frames)
    assert len({frame.tobytes() for frame in starts.frames}) == 6
    save_starts(dataset, tmp_path / "b.npz", count=6)
    assert np.array_equal(load_starts(tmp_path / "b.npz").frames, starts.frames)


def test_episodes_below_the_first_seed_are_left_out(dataset: Path, tmp_path: Path) -> None:
    save_starts(dataset, tmp_path / "a.npz", count=3, first_seed=2)
    with pytest.raises(InvalidEpisode, match="but 64 were asked for"):
        save_starts(dataset, tmp_path / "b.npz", first_seed=2)
    assert not (tmp_path / "b.npz").exists()


def test_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(EpisodeNotFound):
        save_starts(tmp_path / "nothing", tmp_path / "a.npz")
