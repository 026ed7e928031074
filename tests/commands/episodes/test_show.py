import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chronosim.cli.main import main
from chronosim.frames import read_frame

Write = Callable[..., Path]


def picture(capsys: pytest.CaptureFixture[str]) -> tuple[str, Path]:
    out = capsys.readouterr().out
    return out, Path(out.splitlines()[-1])


def test_the_steps_are_a_table_and_a_filmstrip(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["episodes", "show", str(dataset / "0000001")]) == 0
    out, drawn = picture(capsys)
    assert "0000001: 4 steps, terminated; Straight of toy; frames of 16 x 24, 4 frames" in out
    assert "return 10.00  ▃▅▆█" in out
    last = next(line for line in out.splitlines() if line.split()[:1] == ["3"])
    assert " ".join(last.split()) == "3 0.25 3.00 4.00 0.25 2 terminated Go to 40."
    assert read_frame(drawn).shape[1] == 2 * 24 + 5 * 216 + 4 * 18


def test_long_tables_are_cut_in_the_middle_and_the_words_go_below_on_a_narrow_screen(
    dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert main(["episodes", "show", str(dataset / "0000001"), "lines=2"]) == 0
    lines = picture(capsys)[0].splitlines()
    table = lines[2:8]
    assert [line.split()[0] for line in table] == ["step", "0", "Go", "…", "3", "Go"]
    assert all(len(line) <= 50 for line in table)
    assert table[-1] == "      Go to 40."


def test_a_long_episode_is_a_page(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("0000004", 20)
    assert main(["episodes", "show", str(path), "frames=6"]) == 0
    out, drawn = picture(capsys)
    assert "6 of 21 frames are drawn; frames=null draws all" in out
    page = read_frame(drawn)
    assert page.shape[1] == 2 * 24 + 6 * 216 + 5 * 18, "one row"
    middles = [24 + column * (216 + 18) + 108 for column in range(6)]
    assert page[24 + 72, middles, 0].tolist() == [0, 40, 80, 120, 160, 200]
    assert main(["episodes", "show", str(path), "frames=null"]) == 0
    out, drawn = picture(capsys)
    assert "are drawn" not in out
    assert len(read_frame(drawn)) > 2 * len(page)


@pytest.mark.parametrize("columns", [60, 80, 110, 160])
def test_no_word_is_cut(
    columns: int,
    write: Write,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    path = write("0000004", 2, text="The car drives at 12 m/s. Steer 15% left, then brake hard.")
    assert main(["episodes", "show", str(path)]) == 0
    lines = picture(capsys)[0].splitlines()[2:-2]
    assert all(len(line) <= columns for line in lines)
    words = [word for line in lines for word in line.split()]
    assert " ".join(words).count("brake hard.") == 2
    assert "…" not in "".join(words)


def test_a_data_set_is_a_sheet_with_a_row_each(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["episodes", "show", str(dataset), "output=sheet"]) == 0
    out, drawn = picture(capsys)
    assert drawn == Path("sheet/episodes.png")
    assert sum(line.startswith("000000") for line in out.splitlines()) == 4
    sheet = read_frame(drawn)
    assert sheet.shape[1] == 2 * 24 + 5 * 216 + 4 * 18, "as many as the longest has frames"
    across = 24 + 4 * (216 + 18) + 108  # the middle of the last column
    down = [24 + 72, len(sheet) - 24 - 72]
    assert sheet[down[0], across].min() == 248, "two steps do not fill five places"
    assert Path("sheet/config.yaml").is_file()


def test_a_terminal_shows_frames_as_blocks(
    dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main(["episodes", "show", str(dataset / "0000000")]) == 0
    assert "\x1b[38;2;20;20;20m\x1b[48;2;20;20;20m▀" in capsys.readouterr().out
    for columns, frames in (("80", 3), ("60", 2), ("20", 1)):
        monkeypatch.setenv("COLUMNS", columns)
        assert main(["episodes", "show", str(dataset / "0000001")]) == 0
        [first, *_] = [line for line in capsys.readouterr().out.splitlines() if "▀" in line]
        assert first.count("▀") == frames * min(22, int(columns))
        assert first.count("\x1b[0m") == frames
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["episodes", "show", str(dataset / "0000000")]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_an_episode_without_steps_can_be_shown(
    dataset: Path, write: object, capsys: pytest.CaptureFixture[str]
) -> None:
    write("0000009", 0)  # type: ignore[operator]
    assert main(["episodes", "show", str(dataset / "0000009")]) == 0
    out, drawn = picture(capsys)
    assert "0000009: 0 steps, closed" in out
    assert drawn.is_file()


def test_what_is_not_there_is_one_sentence(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["episodes", "show", str(dataset / "0000042")]) == 2
    assert f"there is no episode at {dataset / '0000042'}" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_damaged_one_does_not_hide_the_others(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset / "0000001" / "zarr.json").write_text("{")
    next((dataset / "0000002").glob("compact-*/frames/c*")).write_bytes(b"")
    assert main(["episodes", "show", str(dataset)]) == 0
    out, drawn = picture(capsys)
    assert [line.split()[0] for line in out.splitlines() if line.startswith("000000")] == [
        "0000000",
        "0000003",
    ]
    damaged = [line for line in out.splitlines() if line.startswith("damaged: ")]
    assert ["0000001" in damaged[0], "0000002" in damaged[1]] == [True, True]
    assert read_frame(drawn).shape[1] == 2 * 24 + 3 * 216 + 2 * 18
    for name in ("0000000", "0000003"):
        (dataset / name / "zarr.json").write_text("{")
    assert main(["episodes", "show", str(dataset)]) == 2
    assert "none of 4 episodes can be read" in capsys.readouterr().err
