"""The commands verify, repair and compact, on episodes that are whole, damaged and unfinished."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.episodes import EpisodeReader, list_episodes

Write = Callable[..., Path]


def damage(episode: Path) -> None:
    """Breaks a file of the frames between off in its middle."""
    chunk = next(episode.glob("*/between/c*"))
    data = chunk.read_bytes()
    chunk.write_bytes(data[: len(data) // 2])


def test_whole_episodes_are_whole(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["episodes", "verify", str(dataset)]) == 0
    assert capsys.readouterr().out == "4 of 4 episodes are whole\n"
    assert main(["episodes", "repair", str(dataset)]) == 0
    assert "4 were whole, 0 mended" in capsys.readouterr().out


def test_damage_is_told_and_mended(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(dataset / "0000001")
    assert main(["episodes", "verify", str(dataset)]) == 1
    out = capsys.readouterr().out
    assert "3 of 4 episodes are whole" in out
    *damages, _ = out.splitlines()
    assert damages
    assert all(line.startswith("checksum: rows") for line in damages)
    assert all(line.count("0000001") == 1 for line in damages), "named once"
    assert "repair" not in out, "what can be kept is not known yet"
    assert main(["episodes", "repair", str(dataset)]) == 0
    out = capsys.readouterr().out
    assert "0000001: 4 steps kept" in out
    assert "are damaged; the outcome is kept" in out
    assert "3 were whole, 1 mended, 0 left" in out
    assert main(["episodes", "verify", str(dataset)]) == 0


def test_what_is_being_written_is_left_alone(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("0000001", 3, close=False)
    assert main(["episodes", "verify", str(path)]) == 1
    assert "unfinished" in capsys.readouterr().out
    assert main(["episodes", "repair", str(path)]) == 1
    assert "left alone without --force" in capsys.readouterr().out
    assert not EpisodeReader(path).finished
    assert main(["episodes", "repair", str(path), "--force"]) == 0
    assert "0000001: 3 steps kept" in capsys.readouterr().out
    assert EpisodeReader(path).finished


def test_what_killed_attempts_left_is_named_and_removed(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token, other = "0" * 32, "1" * 32
    shutil.copytree(dataset / "0000000", dataset / f".0000000.{token}.draft")
    (dataset / f".0000007.{token}.dropped").mkdir()
    (dataset / f".0000007.{other}.draft" / "live").mkdir(parents=True)
    (dataset / ".mine").mkdir()
    assert main(["episodes", "ls", str(dataset)]) == 0
    out = capsys.readouterr().out
    assert "4 episodes" in out
    assert "left over from killed attempts: 3, " in out
    young = dataset / f".0000000.{token}.draft"
    for file in young.rglob("*"):
        os.utime(file)
    assert main(["episodes", "repair", str(dataset)]) == 0
    out = capsys.readouterr().out
    assert f"{young.name}: was written to just now, and is left alone" in out
    assert out.count("left over from a killed attempt, removed") == 2
    assert main(["episodes", "repair", str(dataset), "--force"]) == 0
    left = [path.name for path in dataset.iterdir() if path.name.startswith(".")]
    assert left == [".mine"]
    assert main(["episodes", "verify", str(dataset)]) == 0


def test_what_cannot_be_mended_does_not_hide_the_others(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset / "0000000" / "zarr.json").write_text("{")
    damage(dataset / "0000001")
    assert main(["episodes", "repair", str(dataset)]) == 1
    out = capsys.readouterr().out
    [line] = [line for line in out.splitlines() if "cannot be repaired" in line]
    assert line.endswith(
        "0000000 is no episode: its zarr.json cannot be read; this cannot be repaired"
    )
    assert line.count("0000000") == 1
    assert "2 were whole, 1 mended, 1 left unmended" in out


def test_packing_changes_no_value_and_leaves_few_files(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write("0000000", 4, compact=False)
    write("0000001", 2)
    dataset = write("0000008", 2, close=False).parent
    before = [EpisodeReader(path).frames for path in list_episodes(dataset)]
    assert main(["episodes", "compact", str(dataset)]) == 0
    out = capsys.readouterr().out
    assert "1 of 3 episodes were packed; 1 are not finished" in out
    files = [int(word) for word in out.splitlines()[1].split() if word.isdigit()]
    assert files[0] > files[1]
    after = [EpisodeReader(path).frames for path in list_episodes(dataset)]
    assert all(map(np.array_equal, before, after))
    assert main(["episodes", "compact", str(dataset)]) == 0
    assert "0 of 3 episodes were packed" in capsys.readouterr().out


def test_packing_goes_on_behind_a_damaged_episode(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("0000000", "0000001", "0000002"):
        write(name, 4, compact=False)
    dataset = write("0000003", 1, compact=False).parent
    damage(dataset / "0000000")
    (dataset / "0000001" / "zarr.json").write_text("{")
    assert main(["episodes", "compact", str(dataset)]) == 1
    out = capsys.readouterr().out
    for name in ("0000000", "0000001"):
        assert sum(name in line for line in out.splitlines()) == 1
    assert "2 of 4 episodes were packed; 2 are damaged" in out
    assert EpisodeReader(dataset / "0000002").compacted
