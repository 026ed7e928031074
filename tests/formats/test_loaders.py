"""Exports opened, value by value, by the formats' own loaders in an environment of theirs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidEpisode
from chronosim.formats.exporting import export_dataset
from chronosim.formats.importing import LAST_ROW, import_dataset
from chronosim.settings import parts as config
from tests.formats.conftest import SECONDS, Maker, readers
from tests.formats.loaders.set_up import FOLDER

SCRIPTS = Path(__file__).parent / "loaders"
PYTHON = FOLDER / "bin" / "python"

pytestmark = [
    pytest.mark.lerobot,
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON.exists(),
        reason=f"no loaders at {FOLDER}: python tests/formats/loaders/set_up.py",
    ),
]


def run(script: str, *arguments: object, home: Path) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "hf")}
    environment.pop("PYTHONPATH", None)
    command = [PYTHON, SCRIPTS / f"{script}.py", *arguments]
    done = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def read(script: str, source: Path, home: Path) -> dict[str, np.ndarray]:
    run(script, source, home / "read.npz", home=home)
    with np.load(home / "read.npz") as found:
        return dict(found)


@pytest.mark.parametrize(
    ("rows", "settings", "tolerance"),
    [
        ("steps", {"last_observation": "keep"}, 0),
        ("frames", {}, 0),
        ("frames", {"video": True, "lossless": True}, 0),
        ("frames", {"video": True}, 8),
    ],
)
def test_lerobot(
    dataset: Maker, tmp_path: Path, rows: str, settings: dict[str, Any], tolerance: int
) -> None:
    time = 3 if rows == "frames" else 1
    source = dataset(time=time, size=(32, 48))
    exporter = config.load("export", "lerobot", camera="top", **settings)
    export_dataset(source, tmp_path / "out", exporter, rows=rows, progress=False)
    found = read("read_lerobot", tmp_path / "out", tmp_path)
    kept = settings.get("last_observation") == "keep"
    assert found["fps"] == pytest.approx(time / SECONDS)
    assert found["lengths"].tolist() == [4 * time + kept, 6 * time + kept]
    begin = 0
    for number, reader in enumerate(readers(source)):
        count = reader.steps * time
        part = {
            name: column[begin : begin + count] for name, column in found.items() if column.ndim
        }
        trajectories = [reader.trajectory(index) for index in range(reader.steps)]
        frames = np.concatenate([reader.frames[:1], *trajectories])[:count]
        seen = (part["observation.images.top"].transpose(0, 2, 3, 1) * 255).round().astype(int)
        assert np.sqrt(((seen - frames) ** 2).mean()) <= tolerance
        np.testing.assert_array_equal(part["action"], reader.column("action").repeat(time, 0))
        np.testing.assert_array_equal(part["observation.state"], reader.states[:-1].repeat(time, 0))
        rewards = reader.column("reward").astype(np.float32)
        np.testing.assert_array_equal(part["next.reward"][time - 1 :: time], rewards)
        assert part["next.done"].tolist() == [False] * (count - 1) + [True]
        assert part["next.terminated"][-1] == reader.column("terminated")[-1]
        assert part["task"].tolist() == reader.column("text").repeat(time).tolist()
        assert part["seed"].tolist() == reader.column("seed").repeat(time).tolist()
        np.testing.assert_allclose(part["timestamp"], np.arange(count) / found["fps"], rtol=1e-6)
        assert set(part["episode_index"].tolist()) == {number}
        assert part["index"].tolist() == list(range(begin, begin + count))
        if kept:
            last = found["observation.images.top"][begin + count].transpose(1, 2, 0) * 255
            np.testing.assert_array_equal(last.round(), reader.frames[-1])
        begin += count + kept
    check_stats(found)


def check_stats(found: dict[str, np.ndarray]) -> None:
    action, frames = found["action"], found["observation.images.top"]
    for name, of in (("mean", np.mean), ("std", np.std), ("min", np.min), ("max", np.max)):
        np.testing.assert_allclose(found[f"stats/action/{name}"], of(action, 0), atol=1e-6)
        theirs = found[f"stats/observation.images.top/{name}"].reshape(3)
        np.testing.assert_allclose(theirs, of(frames, (0, 2, 3)), atol=0.03)
    assert found["stats/action/count"].tolist() == [len(action)]


def test_a_lerobot_policy_trains(dataset: Maker, tmp_path: Path) -> None:
    source = dataset(size=(64, 64))
    export_dataset(source, tmp_path / "out", config.load("export", "lerobot"), progress=False)
    losses = json.loads(run("train_lerobot", tmp_path / "out", home=tmp_path).splitlines()[-1])
    assert len(losses) == 3
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("kind", ["image", "video"])
def test_what_lerobot_wrote_is_read(tmp_path: Path, kind: str) -> None:
    run("write_lerobot", tmp_path / "theirs", kind, "finished", home=tmp_path)
    importer = config.load("import", "lerobot", camera="top")
    report = import_dataset(tmp_path / "theirs", tmp_path / "ours", importer, progress=False)
    assert report.lost == (
        LAST_ROW,
        "the feature observation.images.wrist",
    )
    assert report.steps == 4 + 6
    for episode, reader in enumerate(readers(tmp_path / "ours")):
        rows = np.arange(reader.steps + 1)
        expected = (40 * episode + 20 * rows)[:, None, None, None]
        assert np.abs(reader.frames.astype(int) - expected).max() <= (0 if kind == "image" else 4)
        assert reader.column("action")[:, 1].tolist() == rows[:-1].tolist()
        assert reader.states[:, 0].tolist() == [episode] * (reader.steps + 1)
        assert reader.column("text")[3] == f"episode {episode}, half 1"
        assert reader.about["seconds_per_step"] == 0.1


def test_what_lerobot_left_unfinished_is_refused(tmp_path: Path) -> None:
    run("write_lerobot", tmp_path / "theirs", "image", "unfinished", home=tmp_path)
    importer = config.load("import", "lerobot", camera="top")
    with pytest.raises((InvalidEpisode, FileNotFoundError), match="never finished"):
        import_dataset(tmp_path / "theirs", tmp_path / "ours", importer, progress=False)
    assert not (tmp_path / "ours").exists()


def test_robomimic(dataset: Maker, tmp_path: Path) -> None:
    source = dataset()
    export_dataset(source, tmp_path / "out", config.load("export", "robomimic"), progress=False)
    found = read("read_robomimic", tmp_path / "out" / "demos.hdf5", tmp_path)
    assert found["demos"] == 2
    columns = [{n: r.column(n) for n in ("action", "reward")} for r in readers(source)]
    for theirs, ours in (("actions", "action"), ("rewards", "reward")):
        expected = np.concatenate([column[ours] for column in columns])
        np.testing.assert_array_equal(found[theirs], expected)
    for part, rows in (("obs", slice(None, -1)), ("next_obs", slice(1, None))):
        frames = np.concatenate([reader.frames[rows] for reader in readers(source)])
        states = np.concatenate([reader.states[rows] for reader in readers(source)])
        np.testing.assert_array_equal(found[f"{part}/agentview_image"], frames)
        np.testing.assert_array_equal(found[f"{part}/state"], states)
    assert np.flatnonzero(found["dones"]).tolist() == [3, 9]


def test_diffusion_policy(dataset: Maker, tmp_path: Path) -> None:
    source, exporter = dataset(), config.load("export", "diffusion-policy")
    export_dataset(source, tmp_path / "out", exporter, progress=False)
    found = read("read_zarr2", tmp_path / "out", tmp_path)
    assert found["episode_ends"].tolist() == [4, 10]
    for theirs, ours in (("action", "action"), ("reward", "reward"), ("seed", "seed")):
        expected = np.concatenate([reader.column(ours) for reader in readers(source)])
        np.testing.assert_array_equal(found[theirs], expected)
    frames = np.concatenate([reader.frames[:-1] for reader in readers(source)])
    np.testing.assert_array_equal(found["img"], frames)
