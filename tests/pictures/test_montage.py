from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from chronosim.episodes import Step
from chronosim.errors import InvalidEpisode
from chronosim.pictures.video import Track, montage
from chronosim.types import Frame, Observation, Prediction


def plain(grey: int, height: int = 16, width: int = 16) -> Frame:
    return np.full((height, width, 3), grey, np.uint8)


def track(steps: int, rate: float, name: str = "a", width: int = 16) -> Track:
    def some() -> Iterator[Step]:
        after = Observation(plain(99, width=width))
        for index in range(steps):
            frame = plain(100 + index, width=width)
            last = index + 1 == steps
            before, after = after, Observation(frame, step=index + 1)
            prediction = Prediction(frame[None])
            yield Step(before, 0, f"Step {index}.", 0, prediction, after, 0.0, last, False)

    return Track(Observation(plain(99, width=width)), some(), Fraction(rate), name)


def frames(*tracks: Track, rate: float = 4, **options: object) -> list[Frame]:
    return list(montage(tracks, Fraction(rate), height=64, **options))  # type: ignore[arg-type]


def greys(film: list[Frame], top: int = 60, left: int = 30) -> list[int]:
    return [int(frame[top, left, 0]) for frame in film]


def test_each_frame_is_seen_for_its_time() -> None:
    assert greys(frames(track(3, 4))) == [99, 100, 101, 102]
    assert greys(frames(track(3, 2))) == [99, 99, 100, 100, 101, 101, 102, 102]
    assert greys(frames(track(3, 8))) == [99, 101]


def test_all_run_on_one_clock_and_the_ended_stay_greyed_out() -> None:
    film = frames(track(1, 4), track(2, 2), columns=2)
    assert greys(film) == [99, 100, 33, 33, 33, 33]
    assert greys(film, left=64 + 6 + 30) == [99, 99, 100, 100, 101, 101]


def test_the_words_of_the_action_are_below_and_the_name_above() -> None:
    film = frames(track(1, 4, name="0000007"))
    [silent, _] = frames(track(1, 4, name=""), words=False)
    bar = slice(film[0].shape[0] - 3 * 20, None)
    assert film[0][:40].max() > 100, "the name"
    assert film[0][bar].max() < 60, "no words led to the first frame"
    assert film[1][bar].max() > 200
    assert silent.shape[0] < film[0].shape[0]
    assert silent[:30].max() < 60


def test_cells_of_several_widths_make_one_grid() -> None:
    film = frames(*(track(1, 4, width=width) for width in (16, 32, 16)))
    assert len({frame.shape for frame in film}) == 1
    assert film[0].shape[1] == 2 * 128 + 6
    assert film[0][60, 5, 0] < 60, "the narrow one stands in the middle of its cell"


def test_nothing_to_play_is_an_error() -> None:
    with pytest.raises(InvalidEpisode, match="at least one episode"):
        frames()
    with pytest.raises(InvalidEpisode, match="one column, not 1 and 0"):
        frames(track(1, 1), columns=0)
