from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.envs.chrono_env import ChronoEnv
from chronosim.envs.forks import fork
from chronosim.envs.make import make_env
from chronosim.envs.replay import Difference, first_difference
from chronosim.envs.wrappers import RecordEpisodes
from chronosim.episodes import EpisodeReader, EpisodeWriter, Step
from chronosim.errors import InvalidEpisode
from chronosim.testing import EchoModel, ReplayModel
from chronosim.types import Observation, Prediction


@pytest.fixture
def reader(shift: Any, tmp_path: Path) -> EpisodeReader:
    """An episode of four steps, logged."""
    env = RecordEpisodes(make_env(shift, horizon=4), tmp_path)
    env.reset(seed=3)
    for steering in (0.1, -0.1, 0.2, 0.0):
        env.step(np.array([steering, 0.3, 0], np.float32))
    env.close()
    return EpisodeReader(tmp_path / "0000000")


def changed(reader: EpisodeReader, at: int, **values: Any) -> EpisodeReader:
    """The same episode with one step logged differently."""
    path = reader.path.with_name("changed")
    with EpisodeWriter(path, reader.observation(0), reader.about) as writer:
        for index, step in enumerate(reader):
            writer.append(replace(step, **values) if index == at else step)
    return EpisodeReader(path)


def test_the_same_settings_give_the_same_episode(reader: EpisodeReader, shift: Any) -> None:
    assert first_difference(reader, make_env(shift, horizon=4)) is None


def test_the_log_can_answer_for_the_model(reader: EpisodeReader) -> None:
    assert first_difference(reader, make_env(ReplayModel(str(reader.path)), horizon=4)) is None


def test_another_model_differs_at_the_first_step(reader: EpisodeReader) -> None:
    found = first_difference(reader, make_env(EchoModel(2), horizon=4))
    assert found is not None
    assert (found.step, found.what) == (0, "frames")
    assert "the frames of step 0 differ by up to" in found.sentence
    assert 0 < found.by <= 255


@pytest.mark.parametrize(
    ("at", "values", "what", "by", "said"),
    [
        (1, {"text": "Fly."}, "text", 0, "step 1 was worded 'Fly.', and now is 'The car"),
        (2, {"reward": -1.5}, "reward", None, "the reward of step 2 differs by"),
        (3, {"truncated": False}, "end", 0, "step 3 was no end, and now is truncated"),
        (1, {"terminated": True}, "end", 0, "step 1 was terminated, and now is no end"),
    ],
)
def test_the_first_difference_is_named(
    at: int,
    values: dict[str, Any],
    what: str,
    by: float | None,
    said: str,
    reader: EpisodeReader,
    shift: Any,
) -> None:
    found = first_difference(changed(reader, at, **values), make_env(shift, horizon=4))
    assert isinstance(found, Difference)
    assert (found.step, found.what) == (at, what)
    assert found.by == by if by is not None else found.by > 1
    assert found.sentence.startswith(said)


def test_what_is_no_number_is_only_alike_to_its_like(
    reader: EpisodeReader, shift: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, unknown = make_env(shift, horizon=4), float("nan")
    monkeypatch.setattr(type(env.world.scenario), "score", lambda *_: (unknown, False))
    found = first_difference(reader, env, tolerance=255)
    assert found is not None
    assert (found.step, found.what, found.by) == (0, "reward", float("inf"))
    path = reader.path.with_name("unknown")
    with EpisodeWriter(path, reader.observation(0), reader.about) as writer:
        for step in reader:
            writer.append(replace(step, reward=unknown))
    assert first_difference(EpisodeReader(path), env) is None


def test_frames_may_differ_by_a_tolerance(reader: EpisodeReader, shift: Any) -> None:
    step = reader.step(3)
    trajectory = step.prediction.trajectory.copy()
    trajectory[-1, 4, 4, 0] ^= 2
    after = Observation(trajectory[-1], step.after.state, 4)
    other = changed(reader, 3, prediction=Prediction(trajectory), after=after)
    found = first_difference(other, make_env(shift, horizon=4))
    assert found is not None
    assert (found.step, found.what, found.by) == (3, "frames", 2)
    assert first_difference(other, make_env(shift, horizon=4), tolerance=2) is None


def test_an_episode_that_ends_early_or_begins_elsewhere(reader: EpisodeReader, shift: Any) -> None:
    found = first_difference(reader, make_env(shift, horizon=2))
    assert found is not None
    assert (found.step, found.what) == (1, "end")
    env: ChronoEnv = make_env(shift, horizon=4)
    begin: Any = lambda *_: (np.zeros((96, 96, 3), np.uint8), {})  # noqa: E731
    dark: Any = type("Dark", (), {"begin": begin, "score": begin})()
    env.world = replace(env.world, scenario=dark)
    found = first_difference(reader, env)
    assert found is not None
    assert (found.step, found.what) == (-1, "first frame")


def test_an_episode_without_steps_is_as_it_was(shift: Any, tmp_path: Path) -> None:
    env = RecordEpisodes(make_env(shift), tmp_path)
    env.reset(seed=1)
    env.close()
    assert first_difference(EpisodeReader(tmp_path / "0000000"), make_env(shift)) is None


def test_what_cannot_be_begun_again_is_refused(shift: Any, tmp_path: Path) -> None:
    env = RecordEpisodes(make_env(shift), tmp_path)
    env.reset()
    with pytest.raises(InvalidEpisode, match="its seed is not in its log"):
        first_difference(EpisodeReader(tmp_path / "0000000"), make_env(shift))
    env.reset(seed=1)
    env.step(np.array([0, 0.3, 0], np.float32))
    fork(env).close()
    with pytest.raises(InvalidEpisode, match="it is a fork of"):
        first_difference(EpisodeReader(tmp_path / "0000002"), make_env(shift))
    env.close()


def test_a_log_without_the_frames_between_is_compared_by_outcomes(
    reader: EpisodeReader, shift: Any
) -> None:
    path = reader.path.with_name("outcomes")
    with EpisodeWriter(path, reader.observation(0), reader.about, trajectories="none") as writer:
        for step in reader:
            writer.append(Step(**{name: getattr(step, name) for name in Step.__slots__}))
    assert first_difference(EpisodeReader(path), make_env(shift, horizon=4)) is None


def as_video(reader: EpisodeReader, name: str, short: int | None = None) -> EpisodeReader:
    """The same episode with its trajectories kept as video, one of them without a frame."""
    path = reader.path.with_name(name)
    with EpisodeWriter(path, reader.observation(0), reader.about, trajectories="video") as writer:
        for index, step in enumerate(reader):
            frames = step.prediction.trajectory
            kept = frames[1:] if index == short else frames
            writer.append(replace(step, prediction=Prediction(kept)))
    return EpisodeReader(path)


def test_of_videos_the_outcomes_and_the_lengths_are_compared(tmp_path: Path, shift: Any) -> None:
    longer = replace(shift, time=3)
    env = RecordEpisodes(make_env(longer, horizon=2), tmp_path)
    env.reset(seed=3)
    for _ in range(2):
        env.step(np.array([0.1, 0.3, 0], np.float32))
    env.close()
    reader = EpisodeReader(tmp_path / "0000000")
    video = as_video(reader, "video")
    near = [one.prediction.trajectory for one in (reader.step(0), video.step(0))]
    assert (near[0] != near[1]).any(), "a video is not exact"
    assert first_difference(video, make_env(longer, horizon=2)) is None
    found = first_difference(as_video(reader, "short", short=1), make_env(longer, horizon=2))
    assert found is not None
    assert (found.step, found.what) == (1, "frames")
    found = first_difference(video, make_env(EchoModel(3), horizon=2))
    assert found is not None
    assert (found.step, found.what) == (0, "frames")


def test_a_stretch_behind_a_gap_cannot_be_begun_again(reader: EpisodeReader, shift: Any) -> None:
    for step in (0, 2):
        about = {**reader.about, "repaired": {"episode": "0000000", "step": step}}
        path = reader.path.with_name(f"from-{step}")
        with EpisodeWriter(path, reader.observation(0), about) as writer:
            for one in reader:
                writer.append(one)
    from_start = EpisodeReader(reader.path.with_name("from-0"))
    assert first_difference(from_start, make_env(shift, horizon=4)) is None
    with pytest.raises(InvalidEpisode, match="it begins at step 2 of 0000000, behind a gap"):
        first_difference(EpisodeReader(path), make_env(shift, horizon=4))
