from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from chronosim.episodes import EpisodeWriter
from chronosim.errors import (
    ChronosimError,
    EpisodeExists,
    EpisodeNotFound,
    EpisodeWriteError,
    InvalidAction,
    InvalidConfig,
    InvalidEpisode,
    InvalidFrame,
)
from chronosim.formats.atomic import MARK, draft
from chronosim.formats.columns import EpisodeColumns
from chronosim.formats.exporting import Exporter, export_dataset
from chronosim.formats.importing import Importer
from chronosim.settings import parts as config
from chronosim.types import Observation
from tests.formats.conftest import Maker, picture, write_episode


@dataclass
class Names:
    """A format that holds an episode's name, and nothing else."""

    holds = ("frames",)

    def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
        for recording in recordings:
            (folder / recording.name).write_text(str(len(recording)))


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != MARK}


def test_the_choices_are_formats() -> None:
    for name in config.names("export"):
        assert isinstance(config.load("export", name), Exporter)
    for name in config.names("import"):
        assert isinstance(config.load("import", name), Importer)


def test_the_report_says_what_was_done(dataset: Maker, tmp_path: Path) -> None:
    source = dataset(time=2)
    write_episode(source / "0000009", seed=9, steps=1)
    with EpisodeWriter(source / "empty", Observation(picture(0, (32, 36))), {}):
        pass
    EpisodeWriter(source / "live", Observation(picture(0, (32, 36))), {})
    report = export_dataset(source, tmp_path / "out", Names(), progress=False)
    assert (report.episodes, report.rows, report.rows_are) == (3, 11, "steps")
    assert report.skipped == ("empty", "live")
    assert "every pixel as it was" in report.lost
    assert "the trajectories between two observations" in report.lost
    assert "frames" not in report.lost
    assert contents(tmp_path / "out") == {"0000002": "4", "0000003": "6", "0000009": "1"}
    assert "3 episodes, 11 rows; each a held action, 2.778 a second" in str(report)
    assert "left out, unfinished or without a step: empty, live" in str(report)


def test_every_rate_is_said(dataset: Maker, tmp_path: Path) -> None:
    source = dataset()
    write_episode(source / "0000009", seed=9, about={"seconds_per_step": 0.9})
    report = export_dataset(source, tmp_path / "two", Names(), progress=False)
    assert report.fps == (1 / 0.36, 1 / 0.9)
    assert "each a held action, 2.778 and 1.111 a second" in str(report)
    for name, seconds in (("10", None), ("11", 0.5), ("12", 4)):
        write_episode(source / name, seed=1, about={"seconds_per_step": seconds})
    report = export_dataset(source, tmp_path / "many", Names(), progress=False)
    assert "0.25 to 2.778 a second or no clock" in str(report)


@pytest.mark.parametrize("name", ["lerobot", "diffusion-policy", "minari", "robomimic"])
def test_a_format_with_one_rate_refuses_two(dataset: Maker, tmp_path: Path, name: str) -> None:
    source = dataset(steps=1)
    write_episode(source / "0000009", seed=9, steps=1, about={"seconds_per_step": 0.5})
    with pytest.raises(InvalidEpisode, match=r"0000009 has rows a second 2.0, but 0000002 has 2.7"):
        export_dataset(source, tmp_path / "out", config.load("export", name), progress=False)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_unasked(dataset: Maker, tmp_path: Path) -> None:
    source, out = dataset(), tmp_path / "out"
    out.mkdir()
    (out / "precious").write_text("mine")
    with pytest.raises(EpisodeExists, match="or --force"):
        export_dataset(source, out, Names(), progress=False)
    with pytest.raises(EpisodeExists, match="holds precious, which no import or export"):
        export_dataset(source, out, Names(), force=True, progress=False)
    assert contents(out) == {"precious": "mine"}
    (out / "precious").unlink()
    export_dataset(source, out, Names(), progress=False)
    write_episode(source / "0000009", seed=9, steps=1)
    export_dataset(source, out, Names(), force=True, progress=False)
    assert contents(out) == {"0000002": "4", "0000003": "6", "0000009": "1"}
    (out / "mine").mkdir()
    with pytest.raises(EpisodeExists, match="holds mine, which"):
        export_dataset(source, out, Names(), force=True, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_a_symlink_stays_one(dataset: Maker, tmp_path: Path) -> None:
    source, out, disk = dataset(), tmp_path / "out", tmp_path / "disk" / "data"
    disk.mkdir(parents=True)
    out.symlink_to(disk)
    for _ in range(2):
        export_dataset(source, out, Names(), force=True, progress=False)
        assert out.is_symlink()
        assert contents(disk) == {"0000002": "4", "0000003": "6"}
        assert [path.name for path in disk.parent.iterdir()] == ["data"]
    shutil.rmtree(disk.parent)
    export_dataset(source, out, Names(), progress=False)
    assert contents(disk) == {"0000002": "4", "0000003": "6"}, "where the link leads to"


def test_long_names(dataset: Maker, tmp_path: Path) -> None:
    out = tmp_path / ("ä" * 125)
    export_dataset(dataset(), out, Names(), progress=False)
    assert len(contents(out)) == 2
    with pytest.raises(InvalidConfig, match=r"there can be no folder .*: .* too long"):
        export_dataset(dataset("other"), tmp_path / ("ä" * 128), Names(), progress=False)


_STOPPED = """
import os, signal, sys
from pathlib import Path
from chronosim.formats.atomic import draft
with draft(sys.argv[1], force=True, keep=Path("/nowhere")) as begun:
    (begun.folder / "half").write_text("done")
    print("begun", flush=True)
    sys.stdin.readline()
"""


def test_what_a_killed_process_left_is_removed_and_a_living_one_is_left_alone(
    dataset: Maker, tmp_path: Path
) -> None:
    source, out = dataset(), tmp_path / "out"
    words = [sys.executable, "-c", _STOPPED, str(out)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(EpisodeExists, match="another process is writing to"):
            export_dataset(source, out, Names(), progress=False)
        other.kill()
    assert (tmp_path / ".out.part" / "data" / "half").exists()
    report = export_dataset(source, out, Names(), progress=False)
    assert "removed what an export that was broken off had left" in str(report)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
    # Killed between the two renamings of a replacement:
    (tmp_path / ".out.part").mkdir()
    out.rename(tmp_path / ".out.part" / "old")
    with pytest.raises(EpisodeExists, match="there is something at"):
        export_dataset(source, out, Names(), progress=False)
    assert contents(out) == {"0000002": "4", "0000003": "6"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_an_interrupted_export_leaves_nothing_and_says_so(dataset: Maker, tmp_path: Path) -> None:
    class Stopped(Names):
        def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
            Names().write(list(recordings)[:1], folder)
            raise KeyboardInterrupt

    source = dataset()
    with pytest.raises(KeyboardInterrupt) as stop:
        export_dataset(source, tmp_path / "out", Stopped(), progress=False)
    assert stop.value.__notes__ == [f"nothing was written to {tmp_path / 'out'}"]
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_came_there_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with (
        pytest.raises(EpisodeExists, match="nothing is overwritten"),
        draft(output, force=False, keep=tmp_path / "source"),
    ):
        output.write_text("theirs")
    assert contents(tmp_path) == {"out": "theirs"}, "no draft is left"


def test_bad_episodes_are_left_out_and_named(dataset: Maker, tmp_path: Path) -> None:
    source, exporter = dataset(), config.load("export", "diffusion-policy")
    for name in "4567":
        write_episode(source / name, seed=9, size=(30, 30) if name == "4" else (32, 36))
    next((source / "5").glob("*/frames/c*")).write_bytes(b"torn")
    (source / "6" / "zarr.json").unlink()
    with pytest.raises(InvalidEpisode, match="skip_bad=true leaves such episodes out"):
        export_dataset(source, tmp_path / "out", exporter, progress=False)
    report = export_dataset(source, tmp_path / "out", exporter, skip_bad=True, progress=False)
    assert (report.episodes, report.rows) == (3, 14)
    assert [sentence.partition(":")[0] for sentence in report.bad] == ["5", "6", "4"]
    assert "left out: 4: 4 has frames (30, 30), but 0000002 has (32, 36)" in str(report)
    back = config.load("import", "diffusion-policy")
    assert len(back.read(report.path).recordings) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def _same(action: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return action


@pytest.mark.parametrize("name", ["lerobot", "diffusion-policy", "minari", "robomimic"])
def test_actions_of_several_kinds_share_one_that_holds_them(tmp_path: Path, name: str) -> None:
    source, exporter = tmp_path / "source", config.load("export", name)
    wide = np.float64(1 / 3)
    kinds: list[Any] = [np.int64(3), np.float32(0.5), wide, np.int8(-1)]
    for number, one in enumerate(kinds):
        action = partial(_same, np.array([one]))
        write_episode(source / str(number), seed=1, steps=2, action=action)
    report = export_dataset(source, tmp_path / "out", exporter, progress=False)
    back = config.load("import", name).read(report.path).recordings
    assert [read().actions[0].tolist() for read in back] == [[3], [0.5], [1 / 3], [-1]]
    write_episode(source / "5", seed=1, steps=2, action=lambda _: np.array([2**53 + 1]))
    with pytest.raises(InvalidEpisode, match="5 has actions of int64 that float64 cannot hold"):
        export_dataset(source, tmp_path / "more", exporter, progress=False)
    write_episode(source / "6", seed=1, steps=2, action=lambda _: "left")
    report = export_dataset(source, tmp_path / "fit", exporter, skip_bad=True, progress=False)
    assert [sentence.partition(":")[0] for sentence in report.bad] == ["5", "6"]


@pytest.mark.parametrize("output", ["", "source"])
def test_the_source_is_never_replaced(dataset: Maker, tmp_path: Path, output: str) -> None:
    source = dataset()
    with pytest.raises(InvalidConfig, match="cannot be replaced"):
        export_dataset(source, tmp_path / output, Names(), force=True, progress=False)
    assert len(list(source.iterdir())) == 2


def test_a_failed_export_leaves_what_was_there(dataset: Maker, tmp_path: Path) -> None:
    source, out = dataset(), tmp_path / "out"
    export_dataset(source, out, Names(), progress=False)
    write_episode(source / "0000007", seed=7, size=(30, 30))
    exporter = config.load("export", "diffusion-policy")
    with pytest.raises(InvalidEpisode, match=r"frames \(30, 30\), but 0000002 has \(32, 36\)"):
        export_dataset(source, out, exporter, force=True, progress=False)
    assert contents(out) == {"0000002": "4", "0000003": "6"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


@pytest.mark.parametrize("name", ["lerobot", "diffusion-policy", "robomimic", "mp4", "rerun"])
def test_a_full_disk(
    dataset: Maker,
    tmp_path: Path,
    name: str,
    full_disk: Callable[[int], AbstractContextManager[None]],
) -> None:
    source, exporter = dataset(), config.load("export", name)
    with full_disk(3000), pytest.raises(EpisodeWriteError):
        export_dataset(source, tmp_path / "out", exporter, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_minari_looks_whether_there_is_space(
    dataset: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 itself crashes on a full disk."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=50_000_000))
    source, exporter = dataset(), config.load("export", "minari")
    with pytest.raises(EpisodeWriteError, match="50 MB left"):
        export_dataset(source, tmp_path / "out", exporter, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(EpisodeNotFound, match="no data set"):
        export_dataset(tmp_path / "nothing", tmp_path / "out", Names())
    with pytest.raises(EpisodeNotFound, match="no finished episode"):
        export_dataset(tmp_path, tmp_path / "out", Names())


@pytest.mark.parametrize(
    ("name", "settings", "error", "sentence"),
    [
        ("lerobot", {"action": lambda rng: "left"}, InvalidAction, "vectors of numbers"),
        ("lerobot", {"action": lambda rng: np.zeros((2, 2))}, InvalidAction, r"\(2, 2\)"),
        ("lerobot", {"about": {"seconds_per_step": None}}, InvalidConfig, "seconds_per_step"),
        ("diffusion-policy", {"action": lambda rng: "left"}, InvalidAction, "holds numbers for"),
        ("robomimic", {"action": lambda rng: 3}, InvalidAction, "vectors of numbers"),
        ("mp4", {"size": (31, 32)}, InvalidFrame, "even sides, not 31 x 32"),
        ("mp4", {"state": np.nan}, InvalidEpisode, "numbers in its states that are not finite"),
        ("mp4", {"reward": np.inf}, InvalidEpisode, "numbers in its rewards that are not finite"),
        ("mp4", {"about": {"x": np.nan}}, InvalidEpisode, "in its about that are not finite"),
    ],
)
def test_what_a_format_cannot_hold(
    dataset: Maker,
    tmp_path: Path,
    name: str,
    settings: dict[str, object],
    error: type[ChronosimError],
    sentence: str,
) -> None:
    source, exporter = dataset(**settings), config.load("export", name)
    with pytest.raises(error, match=sentence):
        export_dataset(source, tmp_path / "out", exporter, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("lerobot", {"camera": "a/b"}),
        ("lerobot", {"last_observation": "maybe"}),
        ("diffusion-policy", {"last_observation": "maybe"}),
        ("robomimic", {"state": "a/b"}),
        ("minari", {"kind": "csv"}),
        ("rerun", {"jpeg": 0}),
    ],
)
def test_settings_that_cannot_work(name: str, setting: dict[str, object]) -> None:
    with pytest.raises(InvalidConfig, match=str(next(iter(setting.values())))):
        config.load("export", name, **setting)
