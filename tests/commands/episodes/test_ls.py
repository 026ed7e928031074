import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chronosim.cli.main import main
from chronosim.episodes import EpisodeReader


def rows(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines() if line[:1].isdigit()]


def test_each_episode_is_a_line(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["episodes", "ls", str(dataset)]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines() if line.startswith("000000")]
    assert lines[1][:8] == ["0000001", "4", "terminated", "toy", "Straight", "2.50", "10.00", "4"]
    assert [line[0] for line in lines] == ["0000000", "0000001", "0000002", "0000003"]
    assert "4 episodes, 10 steps" in out


def test_the_results_of_a_rollout_are_a_data_set_too(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset.parent / "out").mkdir()
    dataset.rename(dataset.parent / "out" / "episodes")
    assert main(["episodes", "ls", str(dataset.parent / "out")]) == 0
    assert len(rows(capsys)) == 5


def test_they_can_be_sorted_and_left_out(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["episodes", "ls", str(dataset), "sort=return", "lines=2"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1:4]] == ["0000001", "…", "0000003"]
    assert "… 2 more" in out
    assert main(["episodes", "ls", str(dataset), "sort=age"]) == 2
    assert "sort must be name, steps, return or size, not 'age'" in capsys.readouterr().err


def test_an_unfinished_episode_is_live_or_broken_off(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("0000007", 2, close=False)
    assert main(["episodes", "ls", str(path.parent)]) == 0
    assert rows(capsys)[0][2] == "live"
    old = time.time() - 3600
    for file in EpisodeReader(path).place.rglob("*"):
        os.utime(str(file), (old, old))
    assert main(["episodes", "ls", str(path.parent)]) == 0
    assert rows(capsys)[0][2:4] == ["broken", "off"]


def test_a_damaged_one_does_not_hide_the_others(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset / "0000001" / "zarr.json").write_text("{")
    assert main(["episodes", "ls", str(dataset)]) == 0
    out = capsys.readouterr().out
    assert "3 episodes, 6 steps" in out
    assert out.splitlines()[-1].startswith("damaged: ")
    assert "0000001" in out.splitlines()[-1]


def test_nothing_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["episodes", "ls", "nowhere"]) == 2
    assert "there is no data set at nowhere" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["episodes", "ls", "empty"]) == 2
    assert "there are no episodes in empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["notes.txt", "b/c"], "there are no episodes in here; it holds b, notes.txt"),
        ([], "there are no episodes in here; it holds nothing"),
        (["meta/info.json"], "chronosim episodes import here format=lerobot makes some"),
        (["a/demos.hdf5"], f"chronosim episodes import {Path('here/a')} format=robomimic makes"),
        ([".theirs.part/data/x"], "there are no episodes in here; it holds .theirs.part"),
    ],
)
def test_what_is_there_instead_is_said(
    files: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("here").mkdir()
    for file in files:
        (Path("here") / file).parent.mkdir(parents=True, exist_ok=True)
        (Path("here") / file).touch()
    assert main(["episodes", "ls", "here"]) == 2
    assert said in capsys.readouterr().err
    if files and files[0].startswith("."):
        assert main(["episodes", "stats", "here/theirs"]) == 2
        assert "is at work or was broken off" in capsys.readouterr().err


def test_the_folder_further_in_is_named(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["episodes", "show", str(dataset.parent)]) == 2
    assert f"name {dataset}, which has some" in capsys.readouterr().err
