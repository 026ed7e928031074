"""Begins in any recorded world, and counts what the user says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.episodes import EpisodeWriter, Step
from chronosim.errors import EpisodeNotFound, InvalidConfig, InvalidEpisode
from chronosim.frames import write_frame
from chronosim.prompters.values import Values
from chronosim.scenarios.recorded import RecordedScenario
from chronosim.testing import check_scenario
from chronosim.types import Frame, Observation, Prediction

PROMPTER = Values("Go {way}.", {"way": ["left", "right"]}, {"x": {"low": 0, "high": 99}})


def grey(level: int) -> Frame:
    return np.full((16, 16, 3), level, np.uint8)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two episodes whose state is the level of grey, 10 to 12 and 20 to 22."""
    for start in (10, 20):
        path, first = tmp_path / "set" / f"{start:04d}", np.array([start], np.float32)
        after = Observation(grey(start), first)
        with EpisodeWriter(path, after, {"seed": start}) as writer:
            for step in (1, 2):
                before, after = after, Observation(grey(start + step), first + step, step)
                outcome = Prediction(after.frame[None])
                writer.append(Step(before, 0, "Go left.", 0, outcome, after, 0.0, False, False))
    return tmp_path / "set"


def brighter(
    before: Observation, action: Any, prediction: Prediction, after: Observation
) -> tuple[float, bool]:
    gained = float(after.frame.mean() - before.frame.mean())
    return gained, gained < 0


def test_it_begins_at_moments_of_a_data_set(dataset: Path) -> None:
    scenario = RecordedScenario(dataset, names=["x"])
    check_scenario(scenario, PROMPTER)
    begun = [scenario.begin(np.random.default_rng(seed)) for seed in range(40)]
    assert all(frame[0, 0, 0] == values["x"] for frame, values in begun)
    # Not at the last observations, 12 and 22: there the world may have ended.
    assert {values["x"] for _, values in begun} == {10.0, 11.0, 20.0, 21.0}


def test_it_begins_at_arrays_and_pictures(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", frames=np.stack([grey(1), grey(2)]), x=np.array([3, 4]))
    scenario = RecordedScenario(tmp_path / "a.npz")
    check_scenario(scenario, PROMPTER)
    assert scenario.begin(np.random.default_rng(0))[1]["x"] in (3.0, 4.0)
    write_frame(tmp_path / "a.png", grey(7))
    frame, values = RecordedScenario(tmp_path, values={"x": 5}).begin(np.random.default_rng(0))
    assert (frame[0, 0, 0], values) == (7, {"x": 5.0})


def test_a_judge_of_ones_own_counts(dataset: Path) -> None:
    for judge in (brighter, f"{__name__}.brighter"):
        scenario = RecordedScenario(dataset, ["x"], judge=judge)
        check_scenario(scenario, PROMPTER)
        before = Observation(grey(5))
        for level, score in ((9, (4.0, False)), (3, (-2.0, True))):
            after = Observation(grey(level))
            assert scenario.score(before, 0, Prediction(after.frame[None]), after) == score
    idle = RecordedScenario(dataset, ["x"])
    assert idle.score(before, 0, Prediction(after.frame[None]), after) == (0.0, False)


def test_what_cannot_be(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(EpisodeNotFound, match="nothing"):
        RecordedScenario(tmp_path / "nothing")
    with pytest.raises(InvalidEpisode, match=r"states of 1 numbers: name them all .* not \[\]"):
        RecordedScenario(dataset)
    for judge in ("no_such_module.judge", f"{__name__}.no_such_judge", "judge"):
        with pytest.raises(InvalidConfig, match=f"there is no judge '{judge}'"):
            RecordedScenario(dataset, ["x"], judge=judge)
