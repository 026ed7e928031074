from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from chronosim.episodes import EpisodeDataset, EpisodeReader, EpisodeWriter, Step, compact
from chronosim.errors import EpisodeNotFound, InvalidConfig, InvalidEpisode
from chronosim.types import Observation, Prediction

Write = Callable[..., Path]


def test_windows(write: Write, tmp_path: Path) -> None:
    readers = [EpisodeReader(write(name, count)) for name, count in (("a", 6), ("b", 2), ("c", 9))]
    data = EpisodeDataset(tmp_path, horizon=4)
    assert data.episodes == [tmp_path / "a", tmp_path / "c"]  # b is too short
    assert len(data) == 3 + 6
    for index in range(len(data)):
        window = data[index]
        reader = readers[0 if index < 3 else 2]
        start = index if index < 3 else index - 3
        assert (window["episode"], window["step"]) == (int(index >= 3), start)
        assert np.array_equal(window["frames"], reader.frames[start : start + 5])
        assert np.array_equal(window["states"], reader.states[start : start + 5])
        for name in ("action", "reward", "terminated", "truncated"):
            assert np.array_equal(window[name], reader.column(name)[start : start + 4])
        assert window["text"] == [f"Step {step}" for step in range(start, start + 4)]
    assert np.array_equal(data[-1]["frames"], data[8]["frames"])
    with pytest.raises(IndexError):
        data[9]


def test_strides_chunks_and_trajectories(write: Write, tmp_path: Path) -> None:
    reader = EpisodeReader(write("a", 7))
    data = EpisodeDataset([tmp_path / "a"], horizon=2, stride=3, action_chunk=3, trajectories=True)
    assert [data[index]["step"] for index in range(len(data))] == [0, 3]
    data = EpisodeDataset([tmp_path / "a"], horizon=2, action_chunk=3, trajectories=True)
    window = data[5]
    actions = reader.column("action")
    assert np.array_equal(window["action"], actions[[[5, 6, 6], [6, 6, 6]]])
    assert window["action_is_real"].tolist() == [[True, True, False], [True, False, False]]
    assert np.array_equal(window["trajectory"], [reader.trajectory(5), reader.trajectory(6)])


def test_order(write: Write, tmp_path: Path) -> None:
    write("a", 30)
    data = EpisodeDataset(tmp_path, horizon=1)
    assert sorted(data.order(0)) == list(range(30))
    assert data.order(0) == data.order(0) == EpisodeDataset(tmp_path, horizon=1).order(0)
    assert data.order(0) != data.order(1) != data.order(0, epoch=1)


def test_a_loader_with_workers(write: Write, tmp_path: Path) -> None:
    for name in "ab":
        write(name, 12)
    data = EpisodeDataset(tmp_path, horizon=4)
    alone = [data[index] for index in data.order(3)]
    loader: Any = DataLoader(cast("Any", data), batch_size=5, sampler=data.order(3), num_workers=2)
    batches = list(loader)
    frames = torch.cat([batch["frames"] for batch in batches])
    assert frames.shape == (18, 5, 8, 10, 3)
    assert np.array_equal(frames.numpy(), [window["frames"] for window in alone])
    assert [text for batch in batches for text in batch["text"][0]] == [
        window["text"][0] for window in alone
    ]


def test_nothing_stays_open(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronosim.episodes.dataset._OPEN", 2)
    for name in "abcd":
        write(name, 5)
    data = EpisodeDataset(tmp_path, horizon=2)
    _ = data[0]
    files = len(list(Path("/dev/fd").iterdir()))
    for index in data.order(0):
        _ = data[index]
    assert len(list(Path("/dev/fd").iterdir())) == files
    assert len(pickle.dumps(data)) < 5000
    assert np.array_equal(pickle.loads(pickle.dumps(data))[3]["frames"], data[3]["frames"])


def test_episodes_that_are_compacted_or_grow(write: Write, tmp_path: Path) -> None:
    path = write("a", 6, compact=False)
    data = EpisodeDataset(tmp_path, horizon=2)
    first = data[0]["frames"]
    compact(path)
    assert np.array_equal(data[0]["frames"], first)
    assert np.array_equal(data[4]["frames"], EpisodeReader(path).frames[4:7])


def test_what_cannot_be(write: Write, tmp_path: Path) -> None:
    with pytest.raises(EpisodeNotFound):
        EpisodeDataset(tmp_path / "nothing")
    write("a", 5)
    with pytest.raises(InvalidEpisode, match=r"none of 1 episodes has 8 steps or more: .* has 5"):
        EpisodeDataset(tmp_path)
    with pytest.raises(InvalidConfig, match="horizon of 1 step or more, not 0"):
        EpisodeDataset(tmp_path, horizon=0)
    write("b", 5, trajectories="none")
    data = EpisodeDataset(tmp_path, horizon=2, trajectories=True)
    _ = data[0]
    with pytest.raises(InvalidEpisode, match="make a data set of each kind"):
        _ = data[5]


def test_a_mixture_is_refused_before_a_frame_is_read(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a", 5)
    other = tmp_path / "b"
    for size, action, said in (
        ((4, 4, 3), np.zeros(3, np.float32), r"b has frames of size \(4, 4\), but .*a \(8, 10\)"),
        ((8, 10, 3), np.zeros(2, np.float32), r"b has actions of .*\('numbers', \(2,\)\), but .*a"),
        ((8, 10, 3), "left", r"b has actions of kind and shape \('words', \(\)\), but .*a"),
    ):
        black = Observation(np.zeros(size, np.uint8), np.zeros(2, np.float32))
        with EpisodeWriter(other, black, {}) as writer:
            for index in range(5):
                after = Observation(black.frame, black.state, index + 1)
                prediction = Prediction(black.frame[None])
                writer.append(Step(black, action, "", 0, prediction, after, 0.0, False, False))
        with monkeypatch.context() as patched:
            patched.setattr("chronosim.episodes.arrays.read_rows", None)
            with pytest.raises(InvalidEpisode, match=said):
                EpisodeDataset(tmp_path, horizon=2)
            assert len(EpisodeDataset([other], horizon=2)) == 4
        shutil.rmtree(other)
