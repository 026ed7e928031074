"""The commands export and import, through the formats that need least of others."""

from pathlib import Path

import av
import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.episodes import EpisodeReader, list_episodes


def test_out_and_in_again(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = ["episodes", "export", str(dataset), "format=mp4", "format.lossless=true"]
    assert main([*export, "rows=frames", "output=clips"]) == 0
    out = capsys.readouterr().out
    assert "clips: 4 episodes, " in out
    assert "each a frame of a trajectory, 4 a second" in out
    bring = ["episodes", "import", "clips", "format=folder", "rows_per_step=2", "synthetic=true"]
    assert main([*bring, "output=back"]) == 0
    assert "4 episodes" in capsys.readouterr().out
    for ours, theirs in zip(list_episodes(dataset), list_episodes("back"), strict=True):
        one, other = EpisodeReader(ours), EpisodeReader(theirs)
        assert np.array_equal(one.frames, other.frames)
        assert np.array_equal(one.column("between"), other.column("between"))
        assert other.about["synthetic"] is True


def test_a_format_keeps_its_own_options(dataset: Path) -> None:
    settings = ["format=mp4", "format.fps=3", "seconds_per_step=0.25", "output=clips"]
    assert main(["episodes", "export", str(dataset), *settings]) == 0
    with av.open(str(next(Path("clips").rglob("*.mp4")))) as video:
        assert video.streams.video[0].average_rate == 4


def test_nothing_is_overwritten_without_force(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        export = ["episodes", "export", str(dataset), "format=mp4", "output=clips"]
        status = main(export)
    assert status == 2
    assert "clips" in capsys.readouterr().err
    assert main([*export, "--force"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import", "nowhere", "format=folder"], "nowhere"),
        (["import", "data", "format=folder", "rows_per_step=0"], "rows_per_step must be a whole"),
        (["import", "data", "format=folder", "frame_size=9"], "frame_size must be [height, width]"),
        (["import", "data", "format=folder", "action=last"], "last"),
        (["export", "nowhere", "format=mp4"], "there is no data set at nowhere"),
        (["export", "data", "format=mp4", "rows=pixels"], "pixels"),
        (["export", "data", "format=avi"], "there is no export 'avi'; there are: "),
    ],
)
def test_what_cannot_work_is_one_sentence(
    words: list[str], said: str, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["episodes", *words, "output=out"]) == 2
    [line] = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("chronosim: ")
    ]
    assert said in line
    assert not Path("out").exists()
