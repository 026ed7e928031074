from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from chronosim.episodes import Step
from chronosim.errors import EpisodeWriteError, InvalidEpisode
from chronosim.pictures.video import (
    continue_video,
    episode_frames,
    frame_rate,
    write_gif,
    write_video,
)
from chronosim.types import EditPrompt, Frame, Observation, Prediction


def plain(grey: int, height: int = 96, width: int = 96) -> Frame:
    return np.full((height, width, 3), grey, np.uint8)


def read(path: Path) -> tuple[list[Frame], Fraction | None, str]:
    with av.open(path) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return frames, stream.average_rate, f"{stream.codec_context.name} {stream.pix_fmt}"


def steps(*lengths: int) -> list[Step]:
    """Steps whose frames count up in grey: 10, 20, 30 ..."""
    made: list[Step] = []
    grey, after = 0, Observation(plain(0))
    for length in lengths:
        trajectory = np.stack([plain(grey + 10 * n) for n in range(1, length + 1)])
        grey += 10 * length
        before, after = after, Observation(trajectory[-1], step=len(made) + 1)
        outcome = Prediction(trajectory)
        made.append(Step(before, 0, f"Go {grey}.", 0, outcome, after, 0.0, False, False, 0.1))
    return made


def test_a_video_plays_the_trajectories_end_to_end(tmp_path: Path) -> None:
    frames = list(episode_frames(Observation(plain(0)), steps(3, 1, 2)))
    write_video(frames, tmp_path / "a.mp4", 25)
    seen, rate, kind = read(tmp_path / "a.mp4")
    assert kind == "h264 yuv420p"
    assert rate == 25
    assert len(seen) == 1 + 3 + 1 + 2
    greys = [frame.mean() for frame in seen]
    assert np.allclose(greys, [0, 10, 20, 30, 40, 50, 60], atol=2)


def test_small_frames_are_scaled_up_pixel_by_pixel(tmp_path: Path) -> None:
    board = (np.indices((96, 96)).sum(0) % 2 * 255).astype(np.uint8)
    write_video([np.repeat(board[..., None], 3, 2)], tmp_path / "a.mp4", 5)
    [seen], _, _ = read(tmp_path / "a.mp4")
    assert seen.shape == (384, 384, 3)
    blocks = seen.reshape(96, 4, 96, 4, 3)[:, 1:3, :, 1:3].mean((1, 3, 4))
    assert np.abs(blocks - board).max() < 40


def test_large_frames_keep_their_size_and_odd_ones_become_even(tmp_path: Path) -> None:
    write_video([plain(9, 401, 403)], tmp_path / "a.mp4", 5)
    [seen], _, _ = read(tmp_path / "a.mp4")
    assert seen.shape == (402, 404, 3)


def test_the_words_are_in_a_bar_below_the_frame() -> None:
    first, *later = episode_frames(Observation(plain(0)), steps(2), words=True)
    assert first.shape == later[0].shape
    assert first.shape[0] > first.shape[1] == 384
    assert (later[0][:384] == 10).all()
    bars = [frame[384:].max() for frame in (first, later[0])]
    assert bars[0] < 60 < 200 < bars[1]


def test_the_rate_is_that_of_the_world() -> None:
    assert frame_rate(0.36, 9) == 25
    assert frame_rate(0.36, 1) == Fraction(25, 9)
    assert frame_rate(None, 4) == 4


def test_a_fractional_rate_survives(tmp_path: Path) -> None:
    write_video([plain(0)] * 5, tmp_path / "a.mp4", frame_rate(0.36, 1))
    assert read(tmp_path / "a.mp4")[1] == Fraction(25, 9)


def test_the_same_frames_give_the_same_file(tmp_path: Path) -> None:
    frames = list(np.random.default_rng(0).integers(0, 256, (6, 96, 96, 3), dtype=np.uint8))
    for name in ("a.mp4", "b.mp4"):
        write_video(frames, tmp_path / name, 10)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_video_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidEpisode, match="at least one frame"):
        write_video([], tmp_path / "a.mp4", 5)
    with pytest.raises(InvalidEpisode, match=r"\(96, 96, 3\), but one is \(48, 96, 3\)"):
        write_video([plain(0), plain(0, 48)], tmp_path / "a.mp4", 5)
    assert not list(tmp_path.iterdir())
    with pytest.raises(EpisodeWriteError, match="could not be written"):
        write_video([plain(0)], tmp_path / "missing" / "a.mp4", 5)


def test_a_video_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    write_video([plain(0)], tmp_path / "a.mp4", 5)
    with pytest.raises(InvalidEpisode):
        write_video([plain(0), plain(0, 48)], tmp_path / "a.mp4", 5)
    assert len(read(tmp_path / "a.mp4")[0]) == 1


def test_a_gif_keeps_its_frames_and_its_time(tmp_path: Path) -> None:
    write_gif([plain(40 * n) for n in range(5)], tmp_path / "a.gif", Fraction(25))
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 5  # type: ignore[attr-defined]
        assert (film.info["duration"], film.info["loop"]) == (40, 0)
        film.seek(3)
        assert np.abs(np.asarray(film.convert("RGB")).astype(int) - 120).max() <= 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_a_gif_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidEpisode, match="up to 50 frames a second, not 60"):
        write_gif([plain(0)], tmp_path / "a.gif", 60)
    with pytest.raises(InvalidEpisode, match="at least one frame"):
        write_gif([], tmp_path / "a.gif", 5)
    with pytest.raises(EpisodeWriteError, match="could not be written"):
        write_gif([plain(0)], tmp_path / "missing" / "a.gif", 5)
    assert not list(tmp_path.iterdir())


def test_a_film_goes_on_text_by_text() -> None:
    class Lighter:
        identity: Any = {"name": "lighter"}  # noqa: RUF012

        def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
            asked.extend(prompts)
            return [Prediction(np.stack([p.frame + 1, p.frame + 2])) for p in prompts]

    asked: list[EditPrompt] = []
    film = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) * np.ones((1, 8, 8, 3), np.uint8)
    longer = continue_video(Lighter(), film, ["it dawns", "it dawns on"], seed=4)
    assert longer[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert [(prompt.text, prompt.frame.max()) for prompt in asked] == [
        ("it dawns", 2),
        ("it dawns on", 4),
    ]
    assert asked[0].seed != asked[1].seed
