"""Exports opened by the format's own library, where it can live beside chronosim."""

from __future__ import annotations

import csv
import json
from itertools import product
from pathlib import Path
from typing import Any

import av
import minari
import numpy as np
import pytest
from rerun.chunk import RrdReader

from chronosim.episodes import EpisodeReader
from chronosim.formats.exporting import export_dataset
from chronosim.settings import parts as config
from tests.formats.conftest import SECONDS, Maker, readers


def exported(dataset: Maker, name: str, rows: str = "steps", **settings: Any) -> tuple[Path, Path]:
    source = dataset(time=2)
    out = source.with_name("chronosim") / "episodes-v0"
    export_dataset(source, out, config.load("export", name, **settings), rows=rows, progress=False)
    return source, out


@pytest.mark.parametrize("kind", ["hdf5", "arrow", "parquet"])
def test_minari(dataset: Maker, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = exported(dataset, "minari", kind=kind, author="someone")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(source.parent))
    found = minari.load_dataset("chronosim/episodes-v0")
    assert (found.total_episodes, found.total_steps) == (2, 10)
    assert found.observation_space["image"].shape == (32, 36, 3)
    for reader, episode in zip(readers(source), found.iterate_episodes(), strict=True):
        np.testing.assert_array_equal(episode.observations["image"], reader.frames)
        np.testing.assert_array_equal(episode.observations["state"], reader.states)
        np.testing.assert_array_equal(episode.actions, reader.column("action"))
        np.testing.assert_array_equal(episode.rewards, reader.column("reward"))
        np.testing.assert_array_equal(episode.terminations, reader.column("terminated"))
        np.testing.assert_array_equal(episode.truncations, reader.column("truncated"))
        texts = [t.decode() if isinstance(t, bytes) else str(t) for t in episode.infos["text"]]
        assert texts == ["", *reader.column("text").tolist()]
        assert episode.actions[0] in found.action_space
    metadata = json.loads((out / "data" / "metadata.json").read_text())
    assert metadata["chronosim"][0]["about"]["model"] == {"name": "nano"}


def test_rerun(dataset: Maker) -> None:
    source, out = exported(dataset, "rerun", "frames")
    for reader in readers(source):
        columns: dict[str, list[Any]] = {}
        for chunk in RrdReader(out / f"{reader.path.name}.rrd").stream():
            batch = chunk.to_record_batch()
            for name in batch.schema.names:
                cells = batch.column(name).to_pylist()
                columns.setdefault(f"{chunk.entity_path}:{name}", []).extend(cells)
        frames = np.array([cell[0] for cell in columns["/camera:Image:buffer"]], np.uint8)
        expected = [reader.trajectory(index) for index in range(reader.steps)]
        np.testing.assert_array_equal(
            frames.reshape(-1, 32, 36, 3), np.concatenate([reader.frames[:1], *expected])
        )
        np.testing.assert_array_equal(
            np.array(columns["/action:Scalars:scalars"]), reader.column("action").repeat(2, 0)
        )
        texts = [cell[0] for cell in columns["/text:TextLog:text"]]
        assert texts == reader.column("text").repeat(2).tolist()
        rewards = [cell[0] for cell in columns["/reward:Scalars:scalars"]][1::2]
        assert rewards == reader.column("reward").tolist()
        assert columns["/camera:row"] == list(range(2 * reader.steps + 1))
        assert columns["/camera:time"][2].total_seconds() == pytest.approx(SECONDS)
        [said] = columns["/__properties/chronosim:about"]
        assert json.loads(said[0])["about"] == dict(reader.about)


def test_rerun_recordings_have_ids_of_their_own(dataset: Maker, tmp_path: Path) -> None:
    """Of several recordings with one id Rerun's viewer shows one; equal ones may share theirs."""
    sources = [dataset("one"), dataset("two", about={"model": {"name": "another"}})]
    ids = []
    for number, (source, rows) in enumerate(product(sources, ("steps", "frames"))):
        out = tmp_path / str(number)
        export_dataset(source, out, config.load("export", "rerun"), rows=rows, progress=False)
        [entry] = RrdReader(out / "0000002.rrd").recordings()
        ids.append(entry.recording_id)
    assert len(set(ids)) == 2, "one for each model: rows of one frame are the same either way"


@pytest.mark.parametrize(("rows", "length"), [("steps", 2), ("frames", 3)])
def test_diffsynth(dataset: Maker, rows: str, length: int) -> None:
    """As DiffSynth's loader does it: a CSV of relative videos, decoded frame by frame."""
    source, out = exported(dataset, "diffsynth", rows, lossless=True)
    with (out / "metadata.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    steps = [(reader, index) for reader in readers(source) for index in range(reader.steps)]
    assert len(lines) == len(steps) == 10
    for line, (reader, index) in zip(lines, steps, strict=True):
        assert line["prompt"] == reader.column("text")[index]
        clip = decoded(out / line["video"])
        assert len(clip) == length
        np.testing.assert_array_equal(clip[0], reader.observation(index).frame)
        np.testing.assert_array_equal(clip[-1], reader.observation(index + 1).frame)
        if rows == "frames":
            np.testing.assert_array_equal(clip[1:], reader.trajectory(index))
    said = json.loads((out / "provenance.json").read_text())
    assert [about["synthetic"] for about in said] == [True, True]


def test_mp4(dataset: Maker) -> None:
    source, out = exported(dataset, "mp4", "frames")
    for reader in readers(source):
        path = out / f"{reader.path.name}.mp4"
        with av.open(path) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height, stream.pix_fmt) == (36, 32, "yuv420p")
            assert float(stream.average_rate or 0) == pytest.approx(2 / SECONDS, rel=1e-4)
        assert len(decoded(path)) == 2 * reader.steps + 1
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert sidecar["about"] == dict(reader.about)
        assert [row["text"] for row in sidecar["rows"]] == expected_texts(reader)


def expected_texts(reader: EpisodeReader) -> list[str]:
    texts: list[str] = reader.column("text").repeat(2).tolist()
    return texts


def decoded(path: Path) -> np.ndarray:
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
