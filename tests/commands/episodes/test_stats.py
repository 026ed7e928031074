import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.episodes import EpisodeWriter
from chronosim.frames import read_frame
from chronosim.types import Observation


def test_a_data_set_is_summed_up(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["episodes", "stats", str(dataset), "output=out"]) == 0
    report = json.loads(Path("out/stats.json").read_text())
    assert (report["episodes"], report["steps"]) == (4, 10)
    assert report["frames"] == 4 + 2 * 10
    assert report["frame sizes"] == {"16 x 24": 4}
    assert report["ends"] == {"terminated": 4}
    assert report["worlds"] == {"toy": 4}
    assert report["policies"] == {"Straight": 4}
    assert report["minutes"] == pytest.approx(5 / 60)
    assert report["length"] == {"mean": 2.5, "least": 1.0, "median": 2.5, "most": 4.0}
    assert report["return"]["most"] == 10
    assert report["action"]["least"] == [0.25, 0]
    assert report["action"]["most"] == [0.25, 3]
    out = capsys.readouterr().out
    assert "4, 4 terminated" in out
    assert "0.1 minutes of the world" in out
    assert read_frame("out/stats.png").shape[1] >= 840


def test_instructions_are_counted(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write("0000000", 3, action="left")
    path = write("0000001", 2, action="right")
    assert main(["episodes", "stats", str(path.parent), "output=out"]) == 0
    report = json.loads(Path("out/stats.json").read_text())
    assert report["action"] == {"instructions": 2, "most frequent": {"left": 3, "right": 2}}
    assert "left" in capsys.readouterr().out


def test_actions_of_two_kinds_are_no_one_data_set(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write("0000000", 1)
    path = write("0000001", 1, action="left")
    assert main(["episodes", "stats", str(path.parent)]) == 2
    assert "several kinds, 1 words, 2 numbers" in capsys.readouterr().err
    assert not Path("runs").exists(), "nothing half-written"


def test_one_episode_and_one_without_steps(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("0000000", 0)
    assert main(["episodes", "stats", str(path), "output=out"]) == 0
    report = json.loads(Path("out/stats.json").read_text())
    assert (report["steps"], report["reward"], report["action"]) == (0, None, {})


def test_rewards_that_are_no_numbers_are_null_and_hide_no_others(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("0000000", 2, reward=float("nan"))
    assert main(["episodes", "show", str(path)]) == 0
    assert main(["episodes", "stats", str(path), "output=out"]) == 0
    report = json.loads(Path("out/stats.json").read_text(), parse_constant=pytest.fail)
    assert report["reward"] == dict.fromkeys(("mean", "least", "median", "most"))
    write("0000001", 2)
    assert main(["episodes", "stats", str(path.parent), "output=both"]) == 0
    report = json.loads(Path("both/stats.json").read_text())
    assert report["return"]["mean"] == 3
    assert "1 returns, whose rewards are no numbers" in capsys.readouterr().out
    assert main(["episodes", "verify", str(path.parent)]) == 0
    out = capsys.readouterr().out
    assert "nan: the reward in row 1 and 1 more of" in out
    assert "2 of 2 episodes are whole" in out


def test_frames_of_several_sizes_are_summed_up_and_shown(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Observation(np.zeros((40, 20, 3), np.uint8))
    with EpisodeWriter(dataset / "other", first, {}):
        pass
    assert main(["episodes", "stats", str(dataset), "output=out"]) == 0
    report = json.loads(Path("out/stats.json").read_text())
    assert report["frame sizes"] == {"16 x 24": 4, "40 x 20": 1}
    assert main(["episodes", "show", str(dataset)]) == 0


def test_bad_episodes_are_left_out_and_named(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write("0000000", 2)
    write("0000001", 2, action="left")
    torn = write("0000002", 2)
    next(torn.glob("*/records/c*")).unlink()
    assert main(["episodes", "stats", str(torn.parent), "output=out"]) == 2
    capsys.readouterr()
    assert main(["episodes", "stats", str(torn.parent), "skip_bad=true", "output=out"]) == 0
    report = json.loads(Path("out/stats.json").read_text())
    assert report["episodes"] == 1
    out = capsys.readouterr().out
    assert "left out: 0000001: its actions are 1 words, unlike those of 0000000" in out
    assert "left out: 0000002: rows 0 to 2" in out
