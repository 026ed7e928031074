from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from chronosim import rollouts
from chronosim.episodes import EpisodeReader, EpisodeWriter, list_episodes
from chronosim.errors import InvalidAction, ResetNeeded
from chronosim.policies.carracing import DriverMix
from chronosim.prompters.driving import Driving
from chronosim.rollouts import processes
from chronosim.simulators.carracing import CarRacingSimulator
from chronosim.types import Observation

ACTION = np.array([-0.2, 0.3, 0.0], np.float32)


def test_repeats_by_seed_drawn_or_not() -> None:
    drawn, undrawn = CarRacingSimulator(6, 2), CarRacingSimulator(6, 2)
    assert np.array_equal(drawn.reset(5)[0], undrawn.reset(5)[0])
    for _ in range(2):
        drawn.step(ACTION)
        assert undrawn.step(ACTION, draw=False)[0] is None
    ours, theirs = drawn.step(ACTION)[0], undrawn.step(ACTION)[0]
    assert ours is not None
    assert theirs is not None
    assert ours.trajectory.shape == (3, 96, 96, 3)
    assert np.array_equal(ours.trajectory, theirs.trajectory)
    assert drawn.speed > 1
    assert drawn.on_road


def test_every_stride_th_frame() -> None:
    fine, coarse = CarRacingSimulator(6, 1), CarRacingSimulator(6, 3)
    fine.reset(5)
    coarse.reset(5)
    every, third = fine.step(ACTION)[0], coarse.step(ACTION)[0]
    assert every is not None
    assert third is not None
    assert np.array_equal(every.trajectory[2::3], third.trajectory)


def test_bad_input() -> None:
    with pytest.raises(ResetNeeded):
        CarRacingSimulator().step(ACTION)
    with pytest.raises(InvalidAction, match="stride 4 must divide hold 6"):
        CarRacingSimulator(6, 4)


def test_recording(tmp_path: Path) -> None:
    # In processes of its own, then once more: what is finished is left alone, what was broken off
    # is begun anew, and the seeds that are missing are added.
    def record(seeds: list[int]) -> dict[str, int]:
        prompter = Driving(seconds_per_step=0.08)
        done = rollouts.record(
            partial(CarRacingSimulator, 4, 2),
            prompter,
            DriverMix(),
            tmp_path,
            seeds=seeds,
            steps=3,
            map=processes(1),
        )
        assert len(done.episodes) == len(seeds)
        episodes = list_episodes(tmp_path)
        return {path.name: (path / "zarr.json").stat().st_mtime_ns for path in episodes}

    EpisodeWriter(tmp_path / "0000008", Observation(np.zeros((96, 96, 3), np.uint8)), {})
    first = record([7])
    second = record([7, 8])
    assert list(second) == ["0000007", "0000008"]
    assert second["0000007"] == first["0000007"]
    readers = [EpisodeReader(path) for path in list_episodes(tmp_path)]
    assert all(reader.finished for reader in readers)
    assert [reader.about["seed"] for reader in readers] == [7, 8]
    reader = readers[0]
    assert reader.column("truncated").tolist() == [False, False, True]
    assert reader.about["synthetic"] is False
    assert reader.step(0).prediction.trajectory.shape == (2, 96, 96, 3)
    assert reader.step(0).text.startswith("The car drives at 0 m/s.")
