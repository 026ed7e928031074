from pathlib import Path

import av
import pytest
from PIL import Image

from chronosim.cli.main import main


def test_episodes_play_side_by_side(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["episodes", "play", str(dataset), "most=2", "height=64", "output=a.mp4"]) == 0
    with av.open("a.mp4") as video:
        stream = video.streams.video[0]
        assert stream.average_rate == 4
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(stream)]
    assert len(frames) == 1 + 4 * 2
    out = capsys.readouterr().out
    assert "Of 4 episodes the first 2 are played" in out
    assert "a.mp4" in out


def test_a_gif_of_single_episodes_at_another_speed(dataset: Path) -> None:
    paths = [str(dataset / name) for name in ("0000001", "0000002")]
    assert main(["episodes", "play", *paths, "speed=0.5", "words=false", "output=a.gif"]) == 0
    with Image.open("a.gif") as film:
        assert film.info["duration"] == 500
        assert film.n_frames == 1 + 4 * 2  # type: ignore[attr-defined]
        assert film.width == 2 * 576 + 6


def test_a_film_goes_to_a_folder_of_its_own(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["episodes", "play", str(dataset / "0000003")]) == 0
    film = Path(capsys.readouterr().out.splitlines()[-1])
    assert film.is_file()
    assert film.is_relative_to(Path("runs/play"))


def test_nothing_is_overwritten_without_force(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.gif").write_text("mine")
    assert main(["episodes", "play", str(dataset), "output=a.gif"]) == 2
    assert "a.gif exists already" in capsys.readouterr().err
    assert Path("a.gif").read_text() == "mine"
    assert main(["episodes", "play", str(dataset / "0000003"), "output=a.gif", "--force"]) == 0
    assert Path("a.gif").read_bytes().startswith(b"GIF89a")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("output=a.avi", "output must end in .mp4 or .gif, not a.avi"),
        ("speed=0", "speed must be a number above 0"),
        ("columns=0", "columns must be a whole number of at least 1"),
        ("most=0", "most must be a whole number of at least 1"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    setting: str, said: str, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["episodes", "play", str(dataset), setting]) == 2
    assert said in capsys.readouterr().err
    assert not Path("runs").exists()
