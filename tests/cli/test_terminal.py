import numpy as np
import pytest

from chronosim.cli.terminal import bars, blocks, size, table


@pytest.fixture(autouse=True)
def _a_wide_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_numbers_stand_flush_right_and_words_flush_left() -> None:
    rows = [("a", 1, 0.5, None), ("longer", 2000, float("nan"), "x y")]
    assert table(("name", "steps", "reward", "end"), rows).splitlines() == [
        "name    steps  reward  end",
        "a           1    0.50  -",
        "longer  2,000       -  x y",
    ]


def test_the_middle_rows_are_left_out() -> None:
    lines = table(("n",), [(index,) for index in range(9)], most=4).splitlines()
    assert [line.strip() for line in lines] == ["n", "0", "1", "… 5 more", "7", "8"]
    assert len(table(("n",), [(index,) for index in range(4)], most=4).splitlines()) == 5


def test_a_line_ends_where_the_screen_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert table(("words",), [("word " * 9,)]).splitlines()[1] == "word word word word…"


def test_a_table_without_rows_is_its_head() -> None:
    assert table(("a", "b"), []) == "a  b"


def test_bars_go_from_zero_to_the_most() -> None:
    assert bars([0, 1, 2, 7]) == "▁▂▃█"
    assert bars([5, 5]) == "██"
    assert bars([-1, 0, 1]) == "▁▅█"
    assert bars([0.0, 0.0]) == "▁▁"
    assert bars([]) == bars([np.nan]) == ""
    assert bars([0, np.nan, 7, np.inf]) == "▁█", "what is not finite is left out"
    assert len(bars(np.arange(1000), width=50)) == 50


def test_sizes_are_in_words() -> None:
    assert [size(count) for count in (7, 1500, 2.5e6, 3e9, 4e12)] == [
        "7 B",
        "1.5 kB",
        "2.5 MB",
        "3.0 GB",
        "4.0 TB",
    ]


def test_frames_are_blocks_of_two_pixels() -> None:
    frame = np.zeros((8, 8, 3), np.uint8)
    frame[:4, :, 0] = 255
    lines = blocks([frame, frame], width=4).splitlines()
    assert len(lines) == 2
    assert all(line.count("▀") == 8 for line in lines)
    assert "38;2;255;0;0m" in lines[0]
    assert "38;2;255;0;0m" not in lines[1]
