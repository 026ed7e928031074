"""Replay buffers as others write them: what is missing, joined, damaged or of another Zarr."""

from __future__ import annotations

import bz2
import gzip
import json
import shutil
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from chronosim.errors import (
    EpisodeNotFound,
    InvalidAction,
    InvalidConfig,
    MissingDependency,
)
from chronosim.formats.columns import FrameSource, make_columns
from chronosim.formats.diffusion_policy import DiffusionPolicyExporter, DiffusionPolicyImporter
from chronosim.formats.exporting import export_dataset
from chronosim.formats.importing import LAST_ROW
from chronosim.formats.safety import names_of
from tests.formats.conftest import Maker, picture, readers
from tests.formats.foreign import imported_by, refused_by

FRAMES = np.stack([picture(at, (12, 16)) for at in range(10)])
NUMBERS = np.arange(20, dtype=np.float32).reshape(10, 2)
ENDS = np.array([4, 10])


def buffer(path: Path, *, zarr_format: Any = 2, ends: Any = ENDS, **arrays: np.ndarray) -> Any:
    """A buffer of two episodes, with chunks of three frames."""
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    data = root.create_group("data")
    for name, values in ({"img": FRAMES, "action": NUMBERS} | arrays).items():
        chunks = (3, *values.shape[1:]) if values.ndim == 4 else values.shape
        data.create_array(name, data=values, chunks=chunks)
    root.create_group("meta").create_array("episode_ends", data=np.asarray(ends))
    return root


imported = partial(imported_by, DiffusionPolicyImporter)
refused = partial(refused_by, DiffusionPolicyImporter)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "foreign.zarr"


def test_chunks_that_are_missing_are_told(path: Path) -> None:
    buffer(path)
    (path / "data/img/1.0.0.0").unlink()
    report = imported(path)
    told = "chunks of data/img that are not there (all zero, or lost): rows 3 to 5 are read as "
    assert report.lost == (f"{told}black frames", LAST_ROW)
    frames = np.concatenate([reader.frames for reader in readers(report.path)])
    assert [frame.any() for frame in frames] == [True] * 3 + [False] * 3 + [True] * 4
    for left in path.glob("data/img/?.0.0.0"):
        left.unlink()
    shutil.rmtree(report.path)
    refused(path, "none of the 4 chunks of data/img is there")


def test_our_own_leave_no_chunk_out(dataset: Maker, path: Path) -> None:
    export_dataset(dataset(reward=0.0), path, DiffusionPolicyExporter(), progress=False)
    assert imported(path).lost == (LAST_ROW,)


@pytest.mark.parametrize(
    "settings",
    [
        {"camera": "action"},
        {"state": "a/b"},
        {"camera": ""},
        {"state": "img"},
        {"camera": ".zattrs"},
    ],
)
def test_names_that_arrays_cannot_have(settings: dict[str, str]) -> None:
    with pytest.raises(InvalidConfig, match=r"cannot be called|must have two names"):
        DiffusionPolicyExporter(**settings)


def test_a_buffer_has_no_place_for_other_actions(path: Path) -> None:
    path.mkdir()
    frames = FrameSource(lambda: iter(FRAMES[:4]))
    given = make_columns("one", frames, np.zeros((3, 0)), closed=True)
    with pytest.raises(InvalidAction, match=r"those of one are float64 of shape \(0,\)"):
        DiffusionPolicyExporter().write([given], path)


def test_zarr_v3_and_shards(path: Path) -> None:
    root: Any = buffer(path, zarr_format=3)
    root["data"].create_array("state", shape=(10, 2), shards=(4, 2), chunks=(2, 1), dtype="f4")
    root["data/state"][:] = NUMBERS + 1
    (path / "data/state/c/2/0").unlink()
    report = imported(path)
    assert "data/state that are not there (all zero, or lost): rows 8 to 9" in str(report)
    first, second = readers(report.path)
    assert np.array_equal(np.concatenate([first.frames, second.frames]), FRAMES)
    assert second.states.tolist() == [*(NUMBERS[4:8] + 1).tolist(), [0, 0], [0, 0]]


def umi(path: Path, robots: int = 2, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    parts = {
        f"robot{robot}_{part}": np.random.default_rng(robot).normal(size=(10, width)).astype("f4")
        for robot in range(robots)
        for part, width in (("gripper_width", 1), ("eef_rot_axis_angle", 3), ("eef_pos", 3))
    }
    root = buffer(path, **parts, **arrays)
    del root["data/action"]
    return parts


def test_umi_joins_its_arrays_to_an_action(path: Path) -> None:
    parts = umi(path)
    report = imported(path, state=["robot0_eef_pos", "robot1_eef_pos"])
    order = [
        f"robot{robot}_{part}"
        for robot in range(2)
        for part in ("eef_pos", "eef_rot_axis_angle", "gripper_width")
    ]
    joined = np.concatenate([parts[name] for name in order], 1)
    [reader, _] = readers(report.path)
    assert np.array_equal(reader.column("action"), joined[:3])
    assert np.array_equal(reader.states, joined[:4, [0, 1, 2, 7, 8, 9]])
    assert report.converted == (f"{', '.join(order)} to one vector of actions",)
    assert report.lost == (LAST_ROW,)


def test_umis_jpeg_xl(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codecs = pytest.importorskip("imagecodecs.numcodecs")
    codecs.register_codecs(verbose=False)
    umi(path)
    data: Any = zarr.open_group(path / "data", mode="r+", zarr_format=2)
    jxl = codecs.Jpegxl(lossless=True, numthreads=1)
    chunks = (1, *FRAMES.shape[1:])
    data.create_array("camera0_rgb", data=FRAMES[::-1], chunks=chunks, compressors=jxl)
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        for file in path.rglob("*"):
            archive.write(file, file.relative_to(path))
    report = imported(path.with_suffix(".zip"), camera="camera0_rgb")
    frames = np.concatenate([reader.frames for reader in readers(report.path)])
    assert np.array_equal(frames, FRAMES[::-1])
    shutil.rmtree(report.path)
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs.numcodecs", None)
    refused(path, "'imagecodecs_jpegxl' needs imagecodecs: pip install", MissingDependency)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"state": "sate"}, "no 'sate' for format.state=; it has: action, img, state"),
        ({"state": ["state", "sate"]}, "no 'sate' for format.state="),
        ({"action": ["action", "acts"]}, "no 'acts' for format.action="),
        ({"camera": "state"}, r"'state' for format.camera= \(state is float32 \(10, 2\)\)"),
        ({"camera": "top"}, "no camera 'top' for format.camera=; it has: img"),
    ],
)
def test_what_is_asked_for_must_be_there(
    path: Path, settings: dict[str, Any], sentence: str
) -> None:
    buffer(path, state=NUMBERS)
    refused(path, sentence, **settings)


@pytest.mark.parametrize("asked", [3, [3], {"a": 1}])
def test_names_are_words(asked: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="state must be a name or a list of names, not"):
        names_of(["a"], asked, (), tmp_path, "state")


def test_a_state_is_taken_where_there_is_one(path: Path) -> None:
    buffer(path, state=NUMBERS)
    assert readers(imported(path).path)[0].states.shape == (4, 2)
    shutil.rmtree(path.with_name("out"))
    report = imported(path, state=[])
    assert readers(report.path)[0].states.shape == (4, 0)
    assert "the array state" in report.lost


def test_what_has_no_place_is_said_and_the_rest_kept(path: Path) -> None:
    words = np.array([f"größer {row}" for row in range(10)])
    root = buffer(path, state=NUMBERS.astype("f8") + 0.1, ends=[4, 8], text=words)
    root["meta"].create_array("success", data=np.array([True, False]))
    root["meta"].create_array("weights", data=np.zeros(7))
    root.attrs["robot"] = "ur5"
    root["data"].create_array("touch", data=NUMBERS)
    report = imported(path)
    assert report.lost == (
        "2 rows after the last episode's end",
        "digits of states: float64 became float32",
        LAST_ROW,
        "meta/weights (float64 (7,))",
        "the array touch",
    )
    for reader, success in zip(readers(report.path), (True, False), strict=True):
        origin = reader.about["origin"]
        assert origin == {"meta": {"success": success}, "attributes": {"robot": "ur5"}}
    assert reader.column("text").tolist() == words[4:7].tolist()


def edit(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def cut(path: Path) -> None:
    chunk = path / "data/img/2.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:40])


def bomb(codec: str) -> Callable[[Path], None]:
    """A few kilobytes that say they are a hundred megabytes of zeros."""

    def drop(path: Path) -> None:
        edit(path / "data/action/.zarray", compressor={"id": codec, "level": 9})
        squeeze: Any = {"gzip": gzip, "zlib": zlib, "bz2": bz2}[codec]
        (path / "data/action/0.0").write_bytes(squeeze.compress(bytes(10**8)))

    return drop


def unknown_word(path: Path) -> None:
    root: Any = zarr.open_group(path, mode="r+", zarr_format=2)
    root["data"].create_array("text", data=np.full(10, -1))
    root.attrs["texts"] = ["left"]


def short_reward(path: Path) -> None:
    data: Any = zarr.open_group(path / "data", mode="r+", zarr_format=2)
    data.create_array("reward", data=np.zeros(5))


@pytest.mark.parametrize("codecs", [("blosc",), ("blosc", "crc32c"), ("gzip",), ("zstd", "crc32c")])
def test_codecs_of_zarr_v3(path: Path, codecs: tuple[str, ...]) -> None:
    root: Any = buffer(path, zarr_format=3)
    kinds: dict[str, Any] = {"blosc": zarr.codecs.BloscCodec, "gzip": zarr.codecs.GzipCodec}
    kinds |= {"zstd": zarr.codecs.ZstdCodec, "crc32c": zarr.codecs.Crc32cCodec}
    made = [kinds[name]() for name in codecs]
    root["data"].create_array("state", data=NUMBERS, chunks=(4, 2), compressors=made)
    assert readers(imported(path).path)[1].states.tolist() == NUMBERS[4:].tolist()
    shutil.rmtree(path.with_name("out"))
    chunk = path / "data/state/c/1/0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    refused(path, "rows [04] to [79] of data/state cannot be read")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut, "rows 6 to 8 of data/img cannot be read"),
        (bomb("gzip"), "the chunk data/action/0.0 is cut off or damaged"),
        (bomb("zlib"), "the chunk data/action/0.0 is cut off or damaged"),
        (bomb("bz2"), "the chunk data/action/0.0 is cut off or damaged"),
        (unknown_word, "text at row 0 is -1, but there are 1 texts"),
        (short_reward, r"do not divide its 5 rows \(of reward\)"),
        (lambda path: edit(path / "data/img/.zarray", chunks=[0, 12, 16, 3]), "shapes of whole"),
        (lambda path: edit(path / "data/img/.zarray", shape=None), "is no description of an array"),
        (lambda path: edit(path / "data/img/.zarray", dtype="<x9"), "data cannot be opened"),
        (lambda path: edit(path / "data/img/.zarray", compressor="zstd"), "no description"),
        (lambda path: edit(path / "data/img/.zarray", shape=[10, 10**9, 9, 3]), "nearly all of"),
        (
            lambda path: edit(path / "data/action/.zarray", shape=[10**9, 2], chunks=[10**9, 2]),
            "asks for 8 GB at once",
        ),
        (lambda path: shutil.rmtree(path / "meta"), "is no replay buffer: it has no meta"),
        (lambda path: (path / "meta/.zgroup").write_text("{"), "cannot be opened|is no replay"),
        (lambda path: (path / "data/action/.zarray").write_text("[]"), "no description"),
    ],
)
def test_damage_gets_a_sentence(
    path: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    buffer(path)
    damage(path)
    refused(path, sentence)


@pytest.mark.parametrize("kind", ["folder", "zip", "zip inside"])
def test_one_level_too_high_names_the_one_inside(tmp_path: Path, path: Path, kind: str) -> None:
    above = tmp_path / "above"
    buffer(above / "replay_buffer.zarr")
    if kind == "zip":
        shutil.make_archive(str(tmp_path / "above"), "zip", above)
        above = tmp_path / "above.zip"
    if kind == "zip inside":
        shutil.rmtree(above / "replay_buffer.zarr")
        (above / "replay_buffer.zarr.zip").touch()
    refused(above, r"name .*replay_buffer.zarr", EpisodeNotFound)


def test_many_short_episodes_rewrite_no_chunk(dataset: Maker, path: Path) -> None:
    """Each chunk is written once: rewriting one for each episode took minutes for 500 of them."""
    source = dataset()
    episodes = sorted(source.iterdir())
    for number in range(4, 12):
        shutil.copytree(episodes[number % 2], source / f"{number:07d}")
    written: list[str] = []
    writing = zarr.storage.LocalStore.set

    async def counted(store: Any, key: str, value: Any) -> None:
        written.append(key)
        await writing(store, key, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zarr.storage.LocalStore, "set", counted)
        export_dataset(source, path, DiffusionPolicyExporter(), progress=False)
    chunks = [key for key in written if "/." not in key and not key.startswith(".")]
    assert len(chunks) == len(set(chunks)) > 8
