from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.episodes import EpisodeReader, EpisodeWriter, Step
from chronosim.errors import InvalidConfig, InvalidEpisode
from chronosim.formats.exporting import record_rows
from chronosim.types import Observation, Prediction
from tests.formats.conftest import SECONDS, Maker, picture, readers


def test_a_row_is_a_held_action(dataset: Maker) -> None:
    reader = readers(dataset(time=3))[0]
    found = record_rows(reader, rows="steps")
    assert (len(found), found.fps, found.rows_per_step) == (4, 1 / SECONDS, 1)
    np.testing.assert_array_equal(np.stack(list(found.frames)), reader.frames)
    np.testing.assert_array_equal(found.states, reader.states)
    np.testing.assert_array_equal(found.actions, reader.column("action"))
    assert list(found.texts) == reader.column("text").tolist()
    assert found.closed


def test_a_row_is_a_frame_of_a_trajectory(dataset: Maker) -> None:
    reader = readers(dataset(time=3))[0]
    found = record_rows(reader, rows="frames")
    assert (len(found), found.rows_per_step) == (12, 3)
    assert found.fps == pytest.approx(3 / SECONDS)
    frames = [reader.frames[:1], *(reader.trajectory(index) for index in range(4))]
    np.testing.assert_array_equal(np.stack(list(found.frames)), np.concatenate(frames))
    np.testing.assert_array_equal(found.actions[3:6], reader.column("action")[[1, 1, 1]])
    np.testing.assert_array_equal(found.states[3:6], reader.states[[1, 1, 1]])
    assert found.rewards.reshape(4, 3)[:, :2].tolist() == [[0, 0]] * 4
    assert found.rewards[2::3].tolist() == reader.column("reward").tolist()
    assert found.terminated.tolist() == [False] * 11 + [True]


def test_frames_may_be_gone_through_again(dataset: Maker) -> None:
    found = record_rows(readers(dataset(time=2))[0], rows="frames")
    assert len(list(found.frames)) == len(list(found.frames)) == 9
    assert found.size == (32, 36)


def test_a_chunk_of_actions_is_taken_apart(dataset: Maker) -> None:
    chunked: dict[str, Any] = {"conversion": {"action": "chunk", "rows_per_step": 3}}
    made = dataset(time=3, action=lambda rng: rng.normal(size=(3, 2)), about=chunked)
    reader = readers(made)[0]
    found = record_rows(reader, rows="frames")
    np.testing.assert_array_equal(found.actions, reader.column("action").reshape(12, 2))
    assert record_rows(reader, rows="steps").actions.shape == (4, 3, 2)


def test_uneven_trajectories_are_no_rows(tmp_path: Path) -> None:
    first = Observation(picture(0, (4, 4)))
    with EpisodeWriter(tmp_path / "uneven", first, {}) as writer:
        for index, time in enumerate((2, 3)):
            frames = np.stack([picture(at, (4, 4)) for at in range(time)])
            after = Observation(frames[-1], step=index + 1)
            writer.append(Step(first, 1, "", 0, Prediction(frames), after, 0.0, False, False))
    reader = EpisodeReader(tmp_path / "uneven")
    with pytest.raises(InvalidEpisode, match=r"2 to 3 frames.*rows=steps"):
        record_rows(reader, rows="frames")
    assert len(record_rows(reader, rows="steps")) == 2


def test_the_clock(dataset: Maker) -> None:
    reader = readers(dataset(about={"seconds_per_step": None}))[0]
    assert record_rows(reader, rows="steps").fps is None
    assert record_rows(reader, rows="steps", seconds_per_step=0.5).fps == 2
    for seconds in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidConfig, match="above 0"):
            record_rows(reader, rows="steps", seconds_per_step=seconds)
    with pytest.raises(InvalidConfig, match="steps, frames, not 'videos'"):
        record_rows(reader, rows="videos")
