"""Layouts that are read but not written: older LeRobot, plain folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from chronosim.episodes import EpisodeReader
from chronosim.errors import InvalidAction, InvalidEpisode
from chronosim.formats.clips import encode
from chronosim.formats.importing import Conversion, ImportReport, import_dataset
from chronosim.frames import write_frame
from chronosim.settings import parts as config
from tests.formats.conftest import picture, readers

CLIP = np.stack([picture(at, (32, 36)) for at in range(5)])


def imported(source: Path, name: str, **settings: object) -> list[EpisodeReader]:
    out = source.with_name("out")
    import_dataset(source, out, config.load("import", name, **settings), progress=False)
    return readers(out)


def lerobot_v21(root: Path, *, video: bool) -> None:
    """Two episodes as LeRobot 0.3.3 lays them out: a file for each, JSON lines for the rest."""
    picture_feature = {"dtype": "video" if video else "image", "shape": [32, 36, 3], "names": None}
    features = {
        "observation.images.top": picture_feature,
        "observation.state": {"dtype": "float32", "shape": [2], "names": ["x", "y"]},
        "observation.effort": {"dtype": "float32", "shape": [1], "names": None},
        "action": {"dtype": "float32", "shape": [3], "names": None},
        "next.done": {"dtype": "bool", "shape": [1], "names": None},
        "task_index": {"dtype": "int64", "shape": [1], "names": None},
    }
    info = {
        "codebase_version": "v2.1",
        "fps": 10,
        "chunks_size": 1000,
        "robot_type": "so100",
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/"
        "episode_{episode_index:06d}.mp4",
        "features": features,
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(info))
    lines = [{"episode_index": at, "tasks": ["a", "b"], "length": 5} for at in range(2)]
    (root / "meta" / "episodes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    tasks = [{"task_index": 0, "task": "go left"}, {"task_index": 1, "task": "größer"}]
    (root / "meta" / "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks)) + "\n")
    for episode in range(2):
        columns = {
            "observation.state": [[episode, row] for row in range(5)],
            "observation.effort": [0.5] * 5,
            "action": [[episode, row, 0.25] for row in range(5)],
            "next.done": [False] * 3 + [True] * 2,
            "episode_index": [episode] * 5,
            "task_index": [0, 0, 1, 1, 1],
        }
        data = root / "data" / "chunk-000" / f"episode_{episode:06d}.parquet"
        data.parent.mkdir(parents=True, exist_ok=True)
        if video:
            path = root / "videos/chunk-000/observation.images.top" / f"episode_{episode:06d}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            encode(iter(CLIP), path, 10, lossless=True)
        else:
            names = [f"images/{episode}-{row}.png" for row in range(5)]
            (root / "images").mkdir(exist_ok=True)
            for name, frame in zip(names, CLIP, strict=True):
                write_frame(root / name, frame)
            cells = [{"bytes": None, "path": name} for name in names]
            columns["observation.images.top"] = cells
        pq.write_table(pa.table(columns), data)


@pytest.mark.parametrize("video", [True, False])
def test_lerobot_v21(tmp_path: Path, video: bool) -> None:
    source = tmp_path / "old"
    lerobot_v21(source, video=video)
    report = import_dataset(
        source, tmp_path / "out", config.load("import", "lerobot"), progress=False
    )
    assert (report.episodes, report.steps) == (2, 8)
    assert "the feature observation.effort" in report.lost
    for episode, reader in enumerate(readers(tmp_path / "out")):
        np.testing.assert_array_equal(reader.frames, CLIP)
        np.testing.assert_array_equal(reader.states[:, 0], [episode] * 5)
        assert reader.column("action").tolist() == [[episode, row, 0.25] for row in range(4)]
        assert reader.column("action").dtype == np.float32
        assert reader.column("text").tolist() == ["go left", "go left", "größer", "größer"]
        assert reader.column("terminated").tolist() == [False, False, False, True]
        assert reader.about["seconds_per_step"] == 0.1
        assert reader.about["synthetic"] is False
        assert reader.about["origin"] == {"robot_type": "so100"}


def test_rows_without_states_make_steps(tmp_path: Path) -> None:
    source = tmp_path / "folder"
    (source / "one").mkdir(parents=True)
    for at, frame in enumerate(CLIP):
        write_frame(source / "one" / f"{at:03d}.png", frame)
    (source / "one.csv").write_text("action_0\n" + "".join(f"{at}.5\n" for at in range(4)))
    out = tmp_path / "out"
    importer = config.load("import", "folder", fps=5.0)
    import_dataset(source, out, importer, Conversion(rows_per_step=2), progress=False)
    [reader] = readers(out)
    assert (reader.steps, reader.states.shape) == (2, (3, 0))


def test_a_folder_of_frames_and_csv(tmp_path: Path) -> None:
    source = tmp_path / "folder"
    (source / "one").mkdir(parents=True)
    for at, frame in enumerate(CLIP):
        write_frame(source / "one" / f"{at:03d}.png", frame)
    table = "action_0,action_1,text,reward,terminated,state\n"
    table += "".join(f'{at}.5,-1,"left, then right",{at},{at == 3},[{at}]\n' for at in range(4))
    (source / "one.csv").write_text(table)
    [reader] = imported(source, "folder", fps=5.0)
    np.testing.assert_array_equal(reader.frames, CLIP)
    assert reader.column("action").tolist() == [[at + 0.5, -1] for at in range(4)]
    assert reader.column("text").tolist() == ["left, then right"] * 4
    assert reader.column("reward").tolist() == [0, 1, 2, 3]
    assert reader.column("terminated").tolist() == [False, False, False, True]
    assert reader.states.tolist() == [[0], [1], [2], [3], [3]]
    assert reader.about["seconds_per_step"] == 0.2


def test_a_folder_of_videos_and_lines(tmp_path: Path) -> None:
    source = tmp_path / "folder"
    source.mkdir()
    encode(iter(CLIP), source / "one.mp4", 4, lossless=True)
    lines = [{"action": "geradeaus, größer", "seed": 3}] * 5
    (source / "one.jsonl").write_text("\n".join(map(json.dumps, lines)))
    [reader] = imported(source, "folder")
    np.testing.assert_array_equal(reader.frames, CLIP)
    assert reader.column("action").tolist() == ["geradeaus, größer"] * 4
    assert reader.column("seed").tolist() == [3] * 4
    assert reader.about["seconds_per_step"] == 0.25


def folder_of_seeds(tmp_path: Path, *seeds: str) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    np.save(source / "one.npy", CLIP[: len(seeds) + 1])
    rows = "".join(f"{index}.5,{seed}\n" for index, seed in enumerate(seeds))
    (source / "one.csv").write_text(f"action,seed\n{rows}")
    return source


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_seeds_of_a_folder_keep_every_bit(tmp_path: Path) -> None:
    source = folder_of_seeds(tmp_path, str(2**63 - 1), "", "7.0")
    [reader] = imported(source, "folder")
    assert reader.column("seed").tolist() == [2**63 - 1, 0, 7]


@pytest.mark.parametrize("seed", [str(2**63), "7.5", "seven"])
def test_a_seed_is_a_whole_number_of_64_bits(seed: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidEpisode, match=r"the column 'seed' of .* is no number"):
        imported(folder_of_seeds(tmp_path, "1", seed), "folder")


def test_pictures_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "one").mkdir(parents=True)
    for number, frame in zip((8, 9, 10, 11, 12), CLIP, strict=True):
        write_frame(source / "one" / f"{number}.png", frame)
    (source / "one.csv").write_text("action\n0.5\n1.5\n2.5\n3.5\n")
    [reader] = imported(source, "folder")
    assert np.array_equal(reader.frames, CLIP)


def folder(source: Path, table: str, frames: int = 4, *, name: str = "one.csv") -> Path:
    """A table beside an array of frames."""
    source.mkdir(exist_ok=True)
    (source / name).write_text(table, encoding="utf-8")
    np.save(source / f"{Path(name).stem}.npy", CLIP[:frames])
    return source


def report_of(source: Path, name: str = "folder", **settings: object) -> ImportReport:
    importer = config.load("import", name, **settings)
    return import_dataset(source, source.with_name("out"), importer, progress=False)


@pytest.mark.parametrize(
    ("table", "actions"),
    [
        ("\ufeffaction_0,action_1\n0.5,1\n1,2\n3,4\n", [[0.5, 1], [1, 2], [3, 4]]),
        ("action_0;action_1\n0,5;1\n1;-2,5e1\n3;4\n", [[0.5, 1], [1, -25], [3, 4]]),
        ("action_0\taction_1\n.5\t1\n+1\t2\n3.\t04\n", [[0.5, 1], [1, 2], [3, 4]]),
        ('action;text\n"[1, 2]";"a; b"\n"[3, 4]";\n"[5, 6]";\n', [[1, 2], [3, 4], [5, 6]]),
        ("action\r\nleft\r\nright\r\nleft\r\n", ["left", "right", "left"]),
    ],
)
def test_tables_as_spreadsheets_write_them(tmp_path: Path, table: str, actions: list[Any]) -> None:
    source = folder(tmp_path / "set", table, name="one.CSV")
    if "\t" in table:
        (source / "one.CSV").write_text(table, encoding="utf-16")  # as Excel's "Unicode text"
    report = report_of(source)
    assert readers(report.path)[0].column("action").tolist() == actions
    assert report.converted == (
        ("decimal commas to points (.CSV with semicolons)",) if "0,5" in table else ()
    )


def test_what_a_folder_holds_besides_is_told(tmp_path: Path) -> None:
    source = folder(
        tmp_path / "set", "action,reward_1,timestamp,state\n1,2,3,4\n1,2,3,5\n1,2,3,6\n"
    )
    (source / "metadata.json").write_text('{"task": "push"}')
    (source / "._one.csv").write_text("macOS")
    (source / "metadata.csv").write_text("file_name,text\none.npy,push\n")
    (source / "two.npy").touch()
    report = report_of(source)
    assert report.lost == (
        "metadata.csv, without a table",
        "metadata.json, without a table",
        "the column reward_1",
        "the column timestamp",
        "two.npy, without a table",
    )
    assert report.converted == ("a frame without a row to one with the state of the last row",)
    assert readers(report.path)[0].states.reshape(-1).tolist() == [4, 5, 6, 6]


def test_whole_actions_beside_fractions_are_numbers_of_one_kind(tmp_path: Path) -> None:
    source = folder(tmp_path / "set", "action\n1\n2\n3\n")
    folder(source, "action\n0.5\n2\n3\n", name="two.csv")
    found = [reader.column("action") for reader in readers(report_of(source).path)]
    assert [actions.dtype for actions in found] == [np.float64] * 2


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("action_0,action_2\n1,2\n1,2\n1,2\n", "has action_2, but no action_1"),
        ("action,action_0\n1,2\n1,2\n1,2\n", "both a column 'action' and action_0"),
        ("action,state_1\n1,2\n1,2\n1,2\n", "has state_1, but no state_0"),
        ("action\n1\nleft\n3\n", "or numbers and words"),
        ("action,text\n1,a\n1\n1,a\n", "row 1 of .* has fewer cells than the header"),
        ("action,text\n1,a,b\n1,a\n1,a\n", "row 0 of .* has more cells than the header"),
        ("action,state\n1,a\n1,b\n1,c\n", "must be 4 vectors of numbers"),
        ("action,state\n1,1\n1,\n1,1\n", "row 1 of .* has no state"),
    ],
)
def test_tables_that_could_be_read_in_two_ways(tmp_path: Path, table: str, sentence: str) -> None:
    with pytest.raises((InvalidEpisode, InvalidAction), match=sentence):
        report_of(folder(tmp_path / "set", table))


def pictures(source: Path, *names: str) -> Path:
    (source / "one").mkdir(parents=True)
    for name, frame in zip(names, [*CLIP, *CLIP], strict=False):
        Image.fromarray(frame).save(source / "one" / name)
    (source / "one.csv").write_text("action\n1\n2\n3\n4\n")
    return source


@pytest.mark.parametrize(
    "names",
    [
        ["0.png", "1.tiff", "2.bmp", "3.PNG", "4.png"],
        ["cam2_f0010.png", "cam2_f0020.png", "cam2_f0030.png", "cam2_f0040.png", "cam2_f0050.png"],
        ["9.png", "10.png", "11.png", "12.png", "13.png"],
    ],
)
def test_pictures_of_all_endings_have_one_order(tmp_path: Path, names: list[str]) -> None:
    source = pictures(tmp_path / "set", *names)
    (source / "one" / "._0.png").write_text("macOS")
    (source / "one" / "notes.txt").touch()
    report = report_of(source)
    np.testing.assert_array_equal(readers(report.path)[0].frames, CLIP)
    assert report.lost == ("notes.txt, no picture, in one",)


def test_pictures_named_by_their_times_are_said_to_be_uneven(tmp_path: Path) -> None:
    names = ["1305031102.175304", "1305031102.211214", "1305031102.275326", "1305031103.175304"]
    source = pictures(tmp_path / "set", *(f"{name}.png" for name in [*names, "1305031104.1"]))
    report = report_of(source)
    assert report.lost == ("the uneven times in the names of the frames of one",)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["0.png", "1.png", "2.png", "4.png", "5.png"], "no picture between 2.png and 4.png"),
        (["0.png", "1.png", "2.png", "2.jpg"], r"2.(png|jpg) and 2.(png|jpg) have the same number"),
        (["l0.png", "r0.png", "l1.png", "r1.png"], r"are named l# and r#: one number must say"),
        (["c0_0.png", "c0_1.png", "c1_0.png", "c1_1.png"], "as c0_0.png: one number must say"),
        (["a.png", "b.png", "c.png", "d.png"], "are named a and b and c: one number must say"),
    ],
)
def test_pictures_that_could_be_read_in_two_ways(
    tmp_path: Path, names: list[str], sentence: str
) -> None:
    with pytest.raises(InvalidEpisode, match=sentence):
        report_of(pictures(tmp_path / "set", *names))


def test_one_place_holds_the_frames(tmp_path: Path) -> None:
    source = pictures(tmp_path / "set", "0.png", "1.png", "2.png", "3.png")
    encode(iter(CLIP), source / "one.mp4", 4)
    with pytest.raises(InvalidEpisode, match=r"one.csv has one and one.mp4 beside it: .* Keep one"):
        report_of(source)


def test_pictures_of_other_kinds_are_converted_and_told(tmp_path: Path) -> None:
    source = folder(tmp_path / "set", "action\n1\n2\n3\n")
    np.save(source / "one.npy", CLIP[:4, ..., 0] / 255)
    pictures(tmp_path / "more", *(f"{at}.png" for at in range(5)))
    for at, mode in enumerate(("L", "P", "RGBA", "CMYK")):
        ending = "tif" if mode == "CMYK" else "png"
        (tmp_path / "more" / "one" / f"{at}.png").unlink()
        Image.fromarray(CLIP[at]).convert(mode).save(tmp_path / "more" / "one" / f"{at}.{ending}")
    report = report_of(source)
    assert report.converted == ("floats from 0 to 1 and grey to RGB frames (camera one.npy)",)
    np.testing.assert_array_equal(readers(report.path)[0].frames, CLIP[:4, ..., :1].repeat(3, -1))
    (tmp_path / "out").rename(tmp_path / "first")
    told = "images to RGB frames: its CMYK colours are a guess, for it has no profile"
    assert report_of(tmp_path / "more").converted == (told,)
