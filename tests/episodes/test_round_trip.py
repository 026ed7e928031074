from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import zarr

from chronosim.episodes import EpisodeReader, EpisodeWriter, Step, list_episodes
from chronosim.errors import (
    EpisodeExists,
    EpisodeNotFound,
    InvalidAction,
    InvalidConfig,
    InvalidEpisode,
    InvalidFrame,
)
from chronosim.types import Frame, Observation, Prediction

SIZE = (8, 10, 3)


def picture(value: int) -> Frame:
    return np.random.default_rng(value).integers(0, 256, SIZE, np.uint8)


def observed(step: int, states: int = 2) -> Observation:
    return Observation(picture(1000 + step), np.arange(states, dtype=np.float32) + step, step)


def taken(index: int, time: int = 3, action: Any = None, states: int = 2) -> Step:
    after = observed(index + 1, states)
    between = [picture(10 * index + moment) for moment in range(time - 1)]
    return Step(
        before=observed(index, states),
        action=np.array([index, -0.5, 0.25], np.float32) if action is None else action,
        text=f"Step {index}: links, rechts und größer",
        seed=2**62 + index,
        prediction=Prediction(
            np.stack([*between, after.frame]), metrics={"doubt": index / 7} if index % 2 else {}
        ),
        after=after,
        reward=0.1 * index,
        terminated=index % 2 == 1,
        truncated=index % 3 == 1,
        latency=0.01 * index,
        truncation_reason="drift" if index % 3 == 1 else None,
        success=(None, True, False)[index % 3],
    )


def same(ours: Step, theirs: Step) -> None:
    assert np.array_equal(ours.before.frame, theirs.before.frame)
    assert ours.prediction.metrics == theirs.prediction.metrics
    assert ours.truncation_reason == theirs.truncation_reason
    assert ours.success is theirs.success
    assert np.array_equal(np.asarray(ours.action), np.asarray(theirs.action))
    assert np.asarray(ours.action).dtype.kind == np.asarray(theirs.action).dtype.kind
    for name in ("text", "seed", "reward", "terminated", "truncated", "latency"):
        assert getattr(ours, name) == getattr(theirs, name)
        assert type(getattr(ours, name)) is type(getattr(theirs, name))
    assert np.array_equal(ours.prediction.trajectory, theirs.prediction.trajectory)
    assert ours.prediction.trajectory.dtype == np.uint8
    assert np.array_equal(ours.after.frame, theirs.after.frame)
    assert np.array_equal(ours.after.state, theirs.after.state)
    assert ours.after.state.dtype == theirs.after.state.dtype == np.float32
    assert ours.after.step == theirs.after.step


def write(path: Path, steps: list[Step], first: Observation | None = None) -> EpisodeReader:
    with EpisodeWriter(path, first or observed(0), {"seed": 3, "nested": {"a": [1, None]}}) as log:
        for step in steps:
            log.append(step)
    return EpisodeReader(path)


@pytest.mark.parametrize("count", [0, 1, 5, 45])  # 45: beyond the reserve, twice
def test_every_field(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronosim.episodes.writer._RESERVE", 20)
    steps = [taken(index) for index in range(count)]
    reader = write(tmp_path / "set" / "episode", steps)
    assert len(reader) == reader.steps == count
    assert reader.finished
    assert reader.about == {"seed": 3, "nested": {"a": [1, None]}}
    for ours, theirs in zip(steps, reader, strict=True):
        same(ours, theirs)
    assert reader.frames.shape == (count + 1, *SIZE)
    assert np.array_equal(reader.frames[0], observed(0).frame)
    assert np.array_equal(reader.states, [observed(step).state for step in range(count + 1)])
    assert len(reader.column("frames")) == count + 1
    assert len(reader.column("text")) == count
    assert reader.observation(count).step == count


@pytest.mark.parametrize("lengths", [[1, 1], [1, 4, 2], [4, 1, 9], [2, 9, 1, 3]])
def test_trajectories_of_different_lengths(tmp_path: Path, lengths: list[int]) -> None:
    steps = [taken(index, time) for index, time in enumerate(lengths)]
    for ours, theirs in zip(steps, write(tmp_path / "episode", steps), strict=True):
        same(ours, theirs)


@pytest.mark.parametrize(
    "action", ["a pedestrian steps onto the road", "", 3, 0.5, np.zeros((2, 2)), np.int8(4), True]
)
def test_actions_of_every_kind(tmp_path: Path, action: Any) -> None:
    steps = [taken(index, action=action) for index in range(2)]
    for ours, theirs in zip(steps, write(tmp_path / "episode", steps), strict=True):
        same(ours, theirs)


def test_no_commanded_state(tmp_path: Path) -> None:
    steps = [taken(index, states=0) for index in range(2)]
    reader = write(tmp_path / "episode", steps, observed(0, states=0))
    for ours, theirs in zip(steps, reader, strict=True):
        same(ours, theirs)
    assert reader.states.shape == (3, 0)


def test_a_reader_sees_what_was_committed_when_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "episode"
    writer = EpisodeWriter(path, observed(0), {})
    readers = [EpisodeReader(path)]
    for index in range(40):
        writer.append(taken(index, time=1 + index % 4))
        readers.append(EpisodeReader(path))
    for count, reader in enumerate(readers):
        assert reader.steps == count
        assert not reader.finished
        assert len(reader.frames) == count + 1
    same(readers[7].step(6), taken(6, time=3))
    with pytest.raises(InvalidEpisode, match="has 7 steps; there is no index 7"):
        readers[7].step(7)
    writer.close()
    assert EpisodeReader(path).finished
    same(readers[40].step(39), taken(39, time=4))


def test_frames_in_the_dark_and_numbers_that_are_none(tmp_path: Path) -> None:
    after = Observation(np.zeros(SIZE, np.uint8), np.array([np.inf, -np.inf], np.float32), 1)
    dark = Prediction(np.zeros((3, *SIZE), np.uint8))
    action = np.array([np.nan, 1.0], np.float64)
    step = Step(observed(0), action, "", 0, dark, after, -np.inf, False, False)
    for compacted in (False, True):
        path = tmp_path / str(compacted)
        with EpisodeWriter(path, observed(0), {}, compact=compacted) as writer:
            writer.append(step)
        reader = EpisodeReader(path)
        assert reader.compacted == compacted
        back = reader.step(0)
        assert np.array_equal(back.prediction.trajectory, dark.trajectory)
        assert np.array_equal(back.after.state, after.state)
        assert np.array_equal(back.action, action, equal_nan=True)
        assert back.reward == -np.inf
        assert np.isnan(back.latency)


def test_a_window_reads_what_was_asked_for(tmp_path: Path) -> None:
    reader = write(tmp_path / "episode", [taken(index, time=1 + index % 3) for index in range(30)])
    assert np.array_equal(reader.window(7, 12), reader.frames[7:12])
    assert reader.lengths.tolist() == [1 + index % 3 for index in range(30)]
    assert np.array_equal(reader.trajectories_of(4, 5)[0], taken(4, time=2).prediction.trajectory)
    with pytest.raises(InvalidEpisode, match="several lengths: 1, 2, 3"):
        reader.trajectories_of(0, 9)
    with pytest.raises(InvalidEpisode, match="has 30 steps; there is no index 31"):
        reader.window(25, 32)


def test_an_episode_is_no_data_set(tmp_path: Path) -> None:
    write(tmp_path / "episode", [])
    with pytest.raises(EpisodeNotFound, match="is an episode, not a data set"):
        list_episodes(tmp_path / "episode")


def test_another_schema_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "episode", [])
    zarr.open_group(tmp_path / "episode", mode="r+").attrs["schema"] = 3
    with pytest.raises(InvalidEpisode, match="schema 3, but this chronosim reads schema 2"):
        EpisodeReader(tmp_path / "episode")


def test_overwriting_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "episode", [taken(0)])
    with pytest.raises(EpisodeExists, match="already") as caught:
        EpisodeWriter(tmp_path / "episode", observed(0), {})
    assert isinstance(caught.value, FileExistsError)
    same(EpisodeReader(tmp_path / "episode").step(0), taken(0))


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EpisodeNotFound, match="no episode") as caught:
        EpisodeReader(tmp_path)
    assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(EpisodeNotFound, match="no data set"):
        list_episodes(tmp_path / "nothing")
    assert list_episodes(tmp_path) == []
    reader = write(tmp_path / "episode", [taken(0)])
    with pytest.raises(InvalidEpisode, match=r"no array 'colour'; it has: .*frames"):
        reader.column("colour")


@pytest.mark.parametrize(
    ("step", "error", "sentence"),
    [
        (taken(1, action=np.zeros(2, np.float32)), InvalidAction, r"shape \(3,\)"),
        (taken(1, action="left"), InvalidAction, "'left'"),
        (taken(1, action={"steer": 1}), InvalidAction, "numbers or a string"),
        (taken(1, action=[[1], [1, 2]]), InvalidAction, "rows of one width"),
        (taken(1, states=1), InvalidEpisode, r"shape \(2,\).*\(1,\)"),
        (
            Step(
                observed(0),
                np.zeros(3, np.float32),
                "",
                0,
                Prediction(np.zeros((1, 4, 4, 3), np.uint8)),
                Observation(np.zeros((4, 4, 3), np.uint8)),
                0.0,
                False,
                False,
            ),
            InvalidFrame,
            r"\(8, 10, 3\)",
        ),
    ],
)
def test_a_step_that_does_not_fit_changes_nothing(
    tmp_path: Path, step: Step, error: type[Exception], sentence: str
) -> None:
    with EpisodeWriter(tmp_path / "episode", observed(0), {}) as writer:
        writer.append(taken(0))
        with pytest.raises(error, match=sentence):
            writer.append(step)
        assert EpisodeReader(tmp_path / "episode").steps == 1
        writer.append(taken(1))
    same(EpisodeReader(tmp_path / "episode").step(1), taken(1))


def test_whole_numbers_do_not_swallow_fractions(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path / "episode", observed(0), {}) as writer:
        writer.append(taken(0, action=np.array([1, 0, 0])))
        with pytest.raises(InvalidAction, match="int64"):
            writer.append(taken(1, action=np.array([0.5, 0, 0])))


def test_a_whole_number_does_not_become_another(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path / "episode", observed(0), {}) as writer:
        writer.append(taken(0, action=np.int8(1)))
        with pytest.raises(InvalidAction, match="int8"):
            writer.append(taken(1, action=np.int64(300)))
        writer.append(taken(1, action=np.int64(100)))
    assert EpisodeReader(tmp_path / "episode").column("action").tolist() == [1, 100]


@pytest.mark.usefixtures("as_users_run_it")
def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="JSON"):
        EpisodeWriter(tmp_path / "episode", observed(0), {"seed": np.int64(3)})
    with pytest.raises(InvalidConfig, match="'lossy'"):
        EpisodeWriter(tmp_path / "episode", observed(0), {}, trajectories=cast("Any", "lossy"))
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_the_episode_unfinished(tmp_path: Path) -> None:
    def interrupted() -> None:
        with EpisodeWriter(tmp_path / "episode", observed(0), {}) as writer:
            writer.append(taken(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    reader = EpisodeReader(tmp_path / "episode")
    assert (reader.steps, reader.finished) == (1, False)
