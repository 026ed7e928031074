from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.episodes import EpisodeReader, EpisodeWriter, list_episodes
from chronosim.errors import InvalidConfig
from chronosim.evaluation import Reference
from chronosim.evaluation.comparison import Comparison
from chronosim.evaluation.sources import AsLogged, Recorded, Simulated
from chronosim.seeds import noise_seed
from chronosim.types import Prediction
from chronosim.world import World


class Nothing:
    """A model or a simulator that must not be asked."""

    identity: Mapping[str, Any] = {"name": "nothing"}

    def predict(self, prompts: Any) -> Any:
        raise AssertionError("what was kept is computed again")


class Silent(Simulated):
    def moments(self) -> Any:
        raise AssertionError("what was kept is drawn again")

    recordings = moments


def source(slider: Reference, kind: type[Simulated] = Simulated) -> Simulated:
    return kind(slider, windows=5, rollouts=3, rollout_steps=3, first_seed=1, others=2, apart=10.0)


def test_what_was_computed_is_not_computed_again(
    slider: Reference, broken: Any, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    first = Comparison(tmp_path / "run", World(broken(), slider.prompter), source(slider), seed=0)
    known = first.moments, first.predicted, first.recordings, first.imagined, first.taught
    again = Comparison(
        tmp_path / "run", World(Nothing(), slider.prompter), source(slider, Silent), seed=0
    )
    for ours, theirs in zip(known[0], again.moments, strict=True):
        assert (ours.seed, ours.observation.step) == (theirs.seed, theirs.observation.step)
        np.testing.assert_array_equal(ours.observation.state, theirs.observation.state)
        np.testing.assert_array_equal(ours.outcomes, theirs.outcomes)
        np.testing.assert_array_equal(ours.actions, theirs.actions)
        assert theirs.actions[0].dtype == np.float32
    np.testing.assert_array_equal(known[1], again.predicted)
    assert again.seconds == first.seconds
    for mine, yours in zip(known[2], again.recordings, strict=True):
        assert mine.seed == yours.seed
        np.testing.assert_array_equal(mine.actions, yours.actions)
        for a, b in zip(mine.observations, yours.observations, strict=True):
            np.testing.assert_array_equal(a.frame, b.frame)
            np.testing.assert_array_equal(a.state, b.state)
            assert a.step == b.step
    np.testing.assert_array_equal(known[3], again.imagined)
    np.testing.assert_array_equal(known[4], again.taught)


def test_the_episodes_are_in_the_log(slider: Reference, broken: Any, tmp_path: Path) -> None:
    comparison = Comparison(tmp_path, World(broken(), slider.prompter), source(slider), seed=7)
    imagined = comparison.imagined
    true, ours = (list_episodes(tmp_path / "episodes" / name) for name in ("true", "imagined"))
    assert [path.name for path in true] == [path.name for path in ours]
    for index, (one, other) in enumerate(
        zip(map(EpisodeReader, true), map(EpisodeReader, ours), strict=True)
    ):
        assert one.about["synthetic"] is False
        assert other.about["synthetic"] is True
        assert other.about["model"]["name"] == "whole"
        assert one.finished
        assert other.steps == 3
        np.testing.assert_array_equal(other.frames[1:], np.stack(imagined)[:, index])
        assert other.step(2).seed == noise_seed(7 + index, 2)
        assert other.step(2).text == one.step(2).text


def test_what_is_spoilt_is_said(slider: Reference, broken: Any, tmp_path: Path) -> None:
    (tmp_path / "moments.npz").write_bytes(b"no archive")
    comparison = Comparison(tmp_path, World(broken(), slider.prompter), source(slider), seed=0)
    with pytest.raises(InvalidConfig, match="remove the file, and it is computed anew"):
        _ = comparison.moments


def test_recorded_episodes_are_judged_by_their_words(
    slider: Reference, broken: Any, tmp_path: Path
) -> None:
    made = Comparison(tmp_path, World(broken(), slider.prompter), source(slider), seed=0)
    assert len(made.recordings) == 3
    episodes = list_episodes(tmp_path / "episodes" / "true")
    recorded = Recorded("mine", episodes, windows=100, rollouts=10, rollout_steps=3)
    assert (recorded.windows, recorded.rollouts) == (9, 3)
    assert recorded.tested == (
        "Tested against the episodes in mine: 9 moments, and 3 episodes of 3 actions."
    )
    assert made.imagined
    dreams = list_episodes(tmp_path / "episodes" / "imagined")
    assert "Beware" in Recorded("mine", dreams, windows=2, rollouts=2, rollout_steps=3).tested
    (tmp_path / "run").mkdir()
    comparison = Comparison(tmp_path / "run", World(broken(), AsLogged()), recorded, seed=0)
    assert len(comparison.moments) == 9
    for moment, ours in zip(comparison.moments, comparison.predicted, strict=True):
        np.testing.assert_array_equal(moment.trajectory[-1], ours[-1])
        assert len(moment.others) == 0
    last = np.stack([recording.observations[-1].frame for recording in comparison.recordings])
    np.testing.assert_array_equal(comparison.imagined[-1], last)
    first = EpisodeReader(episodes[0]).observation(0)
    smaller = tmp_path / "smaller"
    with EpisodeWriter(smaller, replace(first, frame=first.frame[:8]), {}) as writer:
        for step in range(3):
            last_step = EpisodeReader(episodes[0]).step(step)
            after = replace(last_step.after, frame=last_step.after.frame[:8])
            few = Prediction(last_step.prediction.trajectory[:, :8])
            writer.append(replace(last_step, after=after, prediction=few))
    with pytest.raises(InvalidConfig, match=r"has 24 x 24, but .*smaller 8 x 24"):
        Recorded("mine", [*episodes, smaller], windows=100, rollouts=10, rollout_steps=3)
    with pytest.raises(InvalidConfig, match="rollout_steps=9 steps; the longest has 3"):
        Recorded("mine", episodes, windows=100, rollouts=10, rollout_steps=9)
