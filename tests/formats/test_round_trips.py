"""Out and in again: what both can hold comes back, and what they cannot is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from chronosim.formats.exporting import ExportReport, export_dataset
from chronosim.formats.importing import LAST_ROW, Conversion, ImportReport, import_dataset
from chronosim.formats.parquet import read_columns
from chronosim.settings import parts as config
from tests.formats.conftest import Maker, assert_same_steps, readers

# Format out, format in, settings out, and what is not held of a step.
FORMATS: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
    ("lerobot", "lerobot", {"last_observation": "keep"}, ("latency", "success")),
    (
        "lerobot",
        "lerobot",
        {"last_observation": "keep", "video": True, "lossless": True},
        ("latency", "success"),
    ),
    ("diffusion-policy", "diffusion-policy", {"last_observation": "keep"}, ()),
    ("minari", "minari", {}, ()),
    ("minari", "minari", {"kind": "arrow"}, ()),
    ("minari", "minari", {"kind": "parquet"}, ()),
    ("robomimic", "robomimic", {}, ()),
    ("mp4", "folder", {"lossless": True}, ()),
]
LEROBOT_ROWS = Path("data") / "chunk-000" / "file-000.parquet"
TASKS = Path("meta") / "tasks.parquet"
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
    assert exported.lost == (("latencies", "whether it succeeded") if without else ())
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


def test_instructions_that_look_like_numbers_stay_words(dataset: Maker) -> None:
    source = dataset(action=lambda rng: ("null", "1e3", "[1]", "")[rng.integers(4)])
    _, imported = out_and_in(source, "mp4", "folder", {}, "steps", 1)
    for ours, theirs in zip(readers(source), readers(imported.path), strict=True):
        assert theirs.column("action").tolist() == ours.column("action").tolist()


def test_rewards_that_are_no_numbers_stay_so(dataset: Maker) -> None:
    source = dataset(reward=float("nan"))
    _, imported = out_and_in(source, "mp4", "folder", {"lossless": True}, "steps", 1)
    for ours, theirs in zip(readers(source), readers(imported.path), strict=True):
        assert_same_steps(ours, theirs)


@pytest.mark.parametrize("out", ["lerobot", "diffusion-policy"])
def test_what_is_dropped_is_said(dataset: Maker, out: str) -> None:
    source = dataset()
    exported, imported = out_and_in(source, out, out, {}, "steps", 1)
    assert "the last observation" in exported.lost
    assert imported.lost == (LAST_ROW,)
    assert str(imported).endswith(f"left behind: {LAST_ROW}")
    assert imported.steps == 8
    for ours, theirs in zip(readers(source), readers(imported.path), strict=True):
        last, unused = ours.step(ours.steps - 1), theirs.about["unused_row"]
        assert unused["action"] == np.asarray(last.action).tolist()
        for name in ("reward", "terminated", "truncated", "text", "seed"):
            assert unused[name] == getattr(last, name), name
        np.testing.assert_array_equal(theirs.column("action"), ours.column("action")[:-1])
        np.testing.assert_array_equal(theirs.frames, ours.frames[:-1])


def test_a_foreign_data_set_comes_out_as_it_went_in(dataset: Maker) -> None:
    """Its last row, which no step can hold, goes along in what is said of the episode."""
    source = dataset()
    foreign = source.with_name("foreign")
    export_dataset(source, foreign, config.load("export", "lerobot"), progress=False)
    rows, tasks = read_columns(foreign / LEROBOT_ROWS), read_columns(foreign / TASKS)
    assert rows["next.terminated"][2:4] == [False, True]
    assert rows["next.reward"][3] > rows["next.reward"][2]
    keeping = config.load("export", "lerobot", last_observation="keep")
    for turn in range(2):  # what came in twice goes out like what came in once
        mine, again = (source.with_name(f"{name}{turn}") for name in ("mine", "again"))
        told = import_dataset(foreign, mine, config.load("import", "lerobot"), progress=False)
        assert (told.steps, told.lost) == (8, (LAST_ROW,))
        export_dataset(mine, again, keeping, progress=False)
        assert read_columns(again / LEROBOT_ROWS) == rows
        assert read_columns(again / TASKS) == tasks
        foreign = again


def test_a_replay_buffer_comes_out_as_it_went_in(dataset: Maker) -> None:
    source = dataset()
    foreign, mine, again = (source.with_name(name) for name in ("foreign", "mine", "again"))
    plain = config.load("export", "diffusion-policy")
    export_dataset(source, foreign, plain, progress=False)
    import_dataset(foreign, mine, config.load("import", "diffusion-policy"), progress=False)
    keeping = config.load("export", "diffusion-policy", last_observation="keep")
    export_dataset(mine, again, keeping, progress=False)
    before: Any
    after: Any
    before, after = (zarr.open_group(folder, mode="r") for folder in (foreign, again))
    assert before.attrs["texts"] == after.attrs["texts"]
    for name, values in before["data"].arrays():
        np.testing.assert_array_equal(values[:], after[f"data/{name}"][:], err_msg=name)


@pytest.mark.parametrize(
    ("about", "action", "reward"),
    [
        ({"unused_action": [1.5, 2.5, 3.5]}, [1.5, 2.5, 3.5], 0),
        ({"unused_row": {"action": [1.5, 2.5, 3.5], "reward": 7.0, "gap": 2}}, None, 0),
        ({"unused_row": {"action": [1.5], "reward": 7.0, "gap": 0}}, None, 7),
    ],
)
def test_a_last_row_is_not_made_up(
    dataset: Maker, about: dict[str, Any], action: list[float] | None, reward: float
) -> None:
    """An older import kept the action alone; a row after a gap belongs to a later observation."""
    source = dataset(about=about)
    keeping = config.load("export", "lerobot", last_observation="keep")
    export_dataset(source, source.with_name("out"), keeping, progress=False)
    rows = read_columns(source.with_name("out") / LEROBOT_ROWS)
    assert rows["action"][4] == (rows["action"][3] if action is None else action)
    assert rows["next.reward"][4] == reward
    assert rows["next.done"][3:5] == [True, False]


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
