"""Layouts that are read but not written: older LeRobot, plain folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chronosim.episodes import EpisodeReader
from chronosim.errors import InvalidEpisode
from chronosim.formats.clips import encode
from chronosim.formats.importing import import_dataset
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
    for number, frame in zip((1, 2, 3, 10, 11), CLIP, strict=True):
        write_frame(source / "one" / f"{number}.png", frame)
    (source / "one.csv").write_text("action\n0.5\n1.5\n2.5\n3.5\n")
    [reader] = imported(source, "folder")
    assert np.array_equal(reader.frames, CLIP)
