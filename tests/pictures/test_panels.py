import numpy as np
import pytest

from chronosim.episodes import Step
from chronosim.errors import InvalidEpisode
from chronosim.pictures.panels import Panel, filmstrip, step_panels, text_block, wrap
from chronosim.types import Frame, Observation, Prediction

PAPER = (250, 250, 248)


def plain(colour: int) -> Frame:
    return np.full((48, 48, 3), colour, np.uint8)


def step(index: int, **ends: bool) -> Step:
    after = Observation(plain(index), step=index)
    return Step(
        before=Observation(plain(index - 1), step=index - 1),
        action=np.zeros(3, np.float32),
        text=f"Words of step {index}.",
        seed=0,
        prediction=Prediction(after.frame[None]),
        after=after,
        reward=index / 10,
        terminated=ends.get("terminated", False),
        truncated=ends.get("truncated", False),
    )


def test_panels_tell_where_it_began_and_what_led_to_each_outcome() -> None:
    panels = step_panels(Observation(plain(7)), [step(1), step(2, terminated=True)])
    assert [panel.words for panel in panels] == ["", "Words of step 1.", "Words of step 2."]
    assert [panel.title for panel in panels] == [
        "start",
        "step 0 · reward 0.10",  # counted as in tables and in EpisodeReader.step
        "step 1 · reward 0.20 · terminated",
    ]
    assert [panel.frame[0, 0, 0] for panel in panels] == [7, 1, 2]
    assert step_panels(Observation(plain(7)), [step(1, truncated=True)])[1].title.endswith(
        "truncated"
    )


def test_each_frame_is_on_the_sheet_in_reading_order() -> None:
    sheet = filmstrip([Panel(plain(10 * n)) for n in range(1, 6)], columns=2, width=100)
    height, width = sheet.shape[:2]
    assert width == 2 * 24 + 2 * 100 + 18
    rows = (height - 2 * 24 - 2 * 18) // 3
    for index in range(5):
        row, column = divmod(index, 2)
        middle = sheet[24 + row * (rows + 18) + 50, 24 + column * 118 + 50]
        assert tuple(middle) == (10 * (index + 1),) * 3
    assert (sheet[-100:, -124:] == PAPER).all()  # the sixth place is empty


def test_frames_of_many_sizes_fit_one_sheet() -> None:
    shapes = [(48, 48), (24, 48), (900, 30), (2, 900)]
    frames = [np.full((*shape, 3), 9, np.uint8) for shape in shapes]
    sheet = filmstrip([Panel(frame) for frame in frames], columns=4, width=100)
    assert 300 < len(sheet) < 400, "three times as high as wide, at most"
    heights = [int((sheet[:, 24 + 50 + n * 118] == 9).all(-1).sum()) for n in range(4)]
    assert heights == [100, 50, 300, 1]


def test_the_words_are_drawn_under_their_frame_alone() -> None:
    def ink(words: str) -> np.ndarray:
        sheet = filmstrip([Panel(plain(0), words=words), Panel(plain(0), words="same")], columns=2)
        return (sheet.min(-1) < 128)[24 + 216 + 6 :]

    long, short = ink("Steer 40% left with all the throttle there is"), ink("")
    assert long[:, : 24 + 216].sum() > 200
    assert not short[:, : 24 + 216].any()
    assert short[:, 24 + 216 :].any()


def test_long_words_make_the_sheet_higher_but_not_for_ever() -> None:
    heights = [len(filmstrip([Panel(plain(0), words="word " * n)])) for n in (1, 20, 200, 2000)]
    assert heights[0] < heights[1] < heights[2] == heights[3]


def test_a_full_sheet_wastes_little_room() -> None:
    def places(count: int) -> int:
        sheet = filmstrip([Panel(plain(0))] * count, width=50)
        return (sheet.shape[1] - 2 * 24 + 18) // (50 + 18)

    assert [places(count) for count in (1, 3, 12, 16, 25)] == [1, 3, 6, 8, 7]


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(InvalidEpisode, match="at least one panel"):
        filmstrip([])
    with pytest.raises(InvalidEpisode, match="one column, not 1 and 0"):
        filmstrip([Panel(plain(0))], columns=0)


def test_lines_fit_their_width() -> None:
    text = "The car drives at 12 m/s. Steer 15% left with 10% throttle and 0% brake."
    lines = wrap(text, size=14, width=150, lines=9)
    assert " ".join(lines) == text
    assert len(lines) > 2
    block = text_block(lines, size=14, width=400, height=200, ink=(0, 0, 0), paper=(255,) * 3)
    assert (block[:, 151:] == 255).all()


def test_what_does_not_fit_ends_in_dots() -> None:
    assert wrap("one two three four", size=14, width=60, lines=2)[-1].endswith("…")
    [cut] = wrap("Donaudampfschifffahrtsgesellschaft", size=14, width=60, lines=3)
    assert cut.startswith("Don")
    assert cut.endswith("…")
