"""Out and in again: what both can hold comes back, and what they cannot is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim import config
from chronosim.adapters.datasets.exporting import ExportReport, export_dataset
from chronosim.adapters.datasets.importing import Conversion, ImportReport, import_dataset
from chronosim.adapters.datasets.parquet import read_columns
from tests.adapters.datasets.conftest import Maker, assert_same_steps, readers

# Format out, format in, settings out, and what is not held of a step.
FORMATS: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
    ("lerobot", "lerobot", {"last_observation": "keep"}, ("latency",)),
    (
        "lerobot",
        "lerobot",
        {"last_observation": "keep", "video": True, "lossless": True},
        ("latency",),
    ),
    ("diffusion-policy", "diffusion-policy", {"last_observation": "keep"}, ()),
    ("minari", "minari", {}, ()),
    ("minari", "minari", {"kind": "arrow"}, ()),
    ("minari", "minari", {"kind": "parquet"}, ()),
    ("robomimic", "robomimic", {}, ()),
    ("mp4", "folder", {"lossless": True}, ()),
]
IDS = ["-".join([out, *map(str, settings.values())]) for out, _, settings, _ in FORMATS]


def out_and_in(
    source: Path, out: str, into: str, settings: dict[str, Any], rows: str, time: int
) -> tuple[ExportReport, ImportReport]:
    between, back = source.with_name("between"), source.with_name("back")
    exporter = config.load("export", out, **settings)
    told = export_dataset(source, between, exporter, rows=rows, progress=False)
    conversion = Conversion(rows_per_step=time if rows == "frames" else 1)
    importer = config.load("import", into)
    return told, import_dataset(between, back, importer, conversion, progress=False)


@pytest.mark.parametrize(
    ("out", "into", "settings", "without", "rows"),
    [(*told, "frames") for told in FORMATS] + [(*told, "steps") for told in FORMATS[::3]],
    ids=[f"{name}-frames" for name in IDS] + [f"{name}-steps" for name in IDS[::3]],
)
def test_nothing_is_lost(
    dataset: Maker,
    out: str,
    into: str,
    settings: dict[str, Any],
    without: tuple[str, ...],
    rows: str,
) -> None:
    time = 3 if rows == "frames" else 1
    source = dataset(time=time)
    exported, imported = out_and_in(source, out, into, settings, rows, time)
    assert (exported.episodes, exported.rows, imported.steps) == (2, 10 * time, 10)
    assert exported.lost == (("latencies",) if without else ())
    assert imported.lost == ()
    for ours, theirs in zip(readers(source), readers(imported.path), strict=True):
        assert_same_steps(ours, theirs, without=without)
        assert theirs.about["origin"] == dict(ours.about)
        assert theirs.about["synthetic"] is True
        assert theirs.about["seconds_per_step"] == pytest.approx(0.36)


@pytest.mark.parametrize(
    ("number", "dtype"), [(0, "f8"), (1, "i8"), (2, "i8"), (3, "f8"), (6, "i8"), (7, "f8")]
)
def test_actions_keep_their_kind(dataset: Maker, number: int, dtype: str) -> None:
    out, into, settings, without = FORMATS[number]
    source = dataset(states=0, action=lambda rng: (rng.normal(size=1) * 100).astype(dtype))
    _, imported = out_and_in(source, out, into, settings, "steps", 1)
    for ours, theirs in zip(readers(source), readers(imported.path), strict=True):
        assert_same_steps(ours, theirs, without=without)
        assert theirs.column("action").dtype == np.dtype(dtype)
        assert theirs.states.shape == (ours.steps + 1, 0)


@pytest.mark.parametrize("out", ["lerobot", "diffusion-policy", "minari", "mp4"])
def test_ids_stay_ids(dataset: Maker, out: str) -> None:
    keep = {"last_observation": "keep"} if out in ("lerobot", "diffusion-policy") else {}
    source = dataset(action=lambda rng: int(rng.integers(5)), size=(32, 32))
    into = "folder" if out == "mp4" else out
    _, imported = out_and_in(source, out, into, keep, "steps", 1)
    for ours, theirs in zip(readers(source), readers(imported.path), strict=True):
        assert theirs.column("action").tolist() == ours.column("action").tolist()
        assert isinstance(theirs.step(0).action, int)


@pytest.mark.parametrize("out", ["minari", "mp4"])
def test_instructions_stay_instructions(dataset: Maker, out: str) -> None:
    source = dataset(action=lambda rng: f"größer um {rng.integers(100)}, bitte")
    _, imported = out_and_in(source, out, "folder" if out == "mp4" else out, {}, "steps", 1)
    for ours, theirs in zip(readers(source), readers(imported.path), strict=True):
        assert theirs.column("action").tolist() == ours.column("action").tolist()


@pytest.mark.parametrize("out", ["lerobot", "diffusion-policy"])
def test_what_is_dropped_is_said(dataset: Maker, out: str) -> None:
    source = dataset()
    exported, imported = out_and_in(source, out, out, {}, "steps", 1)
    assert "the last observation" in exported.lost
    assert imported.lost == ("each episode's last action, whose outcome is not known",)
    assert imported.steps == 8
    for ours, theirs in zip(readers(source), readers(imported.path), strict=True):
        unused = ours.column("action")[-1].tolist()
        assert theirs.about["unused_action"] == unused
        np.testing.assert_array_equal(theirs.column("action"), ours.column("action")[:-1])
        np.testing.assert_array_equal(theirs.frames, ours.frames[:-1])


def test_a_foreign_data_set_comes_out_as_it_went_in(dataset: Maker) -> None:
    """Its last action, which no step can hold, goes along in what is said of the episode."""
    source = dataset()
    foreign, mine, again = (source.with_name(name) for name in ("foreign", "mine", "again"))
    export_dataset(source, foreign, config.load("export", "lerobot"), progress=False)
    import_dataset(foreign, mine, config.load("import", "lerobot"), progress=False)
    keeping = config.load("export", "lerobot", last_observation="keep")
    export_dataset(mine, again, keeping, progress=False)
    table = Path("data") / "chunk-000" / "file-000.parquet"
    before, after = (read_columns(folder / table) for folder in (foreign, again))
    for name in ("action", "observation.images.front", "observation.state", "timestamp", "index"):
        assert before[name] == after[name], name


@pytest.mark.parametrize("settings", [{"video": True}, {}])
def test_lossy_frames_are_near(dataset: Maker, settings: dict[str, Any]) -> None:
    out = "lerobot" if settings else "mp4"
    source = dataset(size=(96, 96), steps=2)
    exported, imported = out_and_in(
        source, out, "folder" if out == "mp4" else out, settings, "steps", 1
    )
    assert "every pixel as it was" in exported.lost
    for ours, theirs in zip(readers(source), readers(imported.path), strict=True):
        apart = ours.frames[: len(theirs.frames)].astype(float) - theirs.frames
        assert np.sqrt((apart**2).mean()) < 8


def test_an_action_chunk_comes_apart_again(dataset: Maker) -> None:
    source = dataset()
    flat, chunked, again, back = (
        source.with_name(name) for name in ("flat", "chunked", "again", "back")
    )
    export_dataset(source, flat, config.load("export", "minari"), progress=False)
    conversion = Conversion(rows_per_step=2, action="chunk")
    told = import_dataset(
        flat, chunked, config.load("import", "minari"), conversion, progress=False
    )
    assert "the rewards of single rows (a step has their sum)" in told.lost
    assert readers(chunked)[0].column("action").shape == (2, 2, 3)
    assert readers(chunked)[0].trajectory(0).shape[0] == 2
    export_dataset(chunked, again, config.load("export", "minari"), rows="frames", progress=False)
    import_dataset(again, back, config.load("import", "minari"), progress=False)
    for ours, theirs in zip(readers(source), readers(back), strict=True):
        np.testing.assert_array_equal(ours.column("action"), theirs.column("action"))
        np.testing.assert_array_equal(ours.frames, theirs.frames)
