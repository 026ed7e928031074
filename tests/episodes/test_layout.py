from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chronosim.episodes import EpisodeReader, EpisodeWriter, Step, verify
from chronosim.episodes.layout import Trajectories, action_array
from chronosim.errors import InvalidEpisode
from chronosim.types import Observation, Prediction


def slide(step: int, time: int) -> Step:
    """A grey ramp that slides by: what a video keeps well."""
    ramp = np.linspace(0, 200, 34 + 300).astype(np.uint8)
    moments = [ramp[10 * step + moment :][:34] for moment in range(time)]
    frames = np.repeat(np.stack(moments)[:, None, :, None], 3, 3).repeat(30, 1)
    after = Observation(frames[-1].copy(), step=step + 1)
    return Step(
        Observation(frames[0], step=step),
        "on",
        "on",
        step,
        Prediction(frames),
        after,
        0.0,
        False,
        False,
    )


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("kept", ["video", "none"])
def test_kept_otherwise(tmp_path: Path, kept: Trajectories, compacted: bool) -> None:
    steps = [slide(index, time) for index, time in enumerate((5, 1, 9, 3))]
    first = slide(20, 1).after
    with EpisodeWriter(
        tmp_path / "episode", first, {}, trajectories=kept, compact=compacted
    ) as writer:
        for step in steps:
            writer.append(step)
    reader = EpisodeReader(tmp_path / "episode")
    assert (reader.trajectories, reader.compacted) == (kept, compacted)
    assert verify(reader.path) == []
    assert np.array_equal(reader.frames[1:], [step.after.frame for step in steps])
    times = [5, 1, 9, 3] if kept == "video" else [1, 1, 1, 1]
    assert reader.lengths.tolist() == times
    assert reader.column("between").shape == (4, max(times) - 1, 30, 34, 3)
    for index, step in enumerate(steps):
        found = reader.trajectory(index)
        expected = step.prediction.trajectory[-times[index] :]
        assert found.shape == expected.shape
        assert np.array_equal(found[-1], expected[-1])  # what is observed is always lossless
        assert np.abs(found.astype(int) - expected).mean() < 3


def test_a_clip_is_not_encoded_again(tmp_path: Path) -> None:
    with EpisodeWriter(
        tmp_path / "episode", slide(20, 1).after, {}, trajectories="video", compact=False
    ) as writer:
        writer.append(slide(0, 9))
    before = EpisodeReader(tmp_path / "episode").trajectory(0)
    writer._compact = True
    writer.close()
    reader = EpisodeReader(tmp_path / "episode")
    assert reader.compacted
    assert np.array_equal(reader.trajectory(0), before)


@pytest.mark.parametrize("told", [("float32", (2,)), ("int64", (3,)), ("what", (3,))])
def test_actions_that_are_not_what_the_attributes_say(told: tuple[str, tuple[int, ...]]) -> None:
    with pytest.raises(InvalidEpisode, match="the actions are not"):
        action_array([[1.5, 2, 3], [1, 2, float("nan")]], *told)
