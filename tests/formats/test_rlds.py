"""RLDS in TFRecord files, written here by hand as protobuf and TFRecord are specified."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest

from chronosim.errors import EpisodeNotFound, InvalidEpisode, InvalidFrame
from chronosim.formats.importing import LAST_ROW, import_dataset
from chronosim.formats.rlds import RldsImporter, _varints
from chronosim.frames import encode_png
from tests.formats.conftest import picture, readers
from tests.formats.foreign import imported_by, refused_by

FRAMES = np.stack([picture(at, (12, 16)) for at in range(5)])
STATES = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
ACTIONS = np.linspace(2, 3, 20, dtype=np.float32).reshape(5, 4)


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def part(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(values: Any) -> bytes:
    if isinstance(values, list):
        return part(1, b"".join(part(1, each) for each in values))
    if values.dtype.kind == "f":
        return part(2, part(1, values.astype("<f4").tobytes()))
    return part(3, part(1, b"".join(varint(int(value)) for value in values.reshape(-1))))


def example(**values: Any) -> bytes:
    entries = (
        part(1, part(1, name.encode()) + part(2, feature(held))) for name, held in values.items()
    )
    return part(1, b"".join(entries))


def masked(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32)


def record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)


def tensor(shape: list[int], dtype: str, encoding: str = "none") -> dict[str, Any]:
    sides = {"dimensions": [str(size) for size in shape]} if shape else {}
    return {"tensor": {"shape": sides, "dtype": dtype, "encoding": encoding}}


def fields(**features: Any) -> dict[str, Any]:
    return {"featuresDict": {"features": features}}


def image(channels: int = 3, dtype: str = "uint8") -> dict[str, Any]:
    sides = {"dimensions": ["12", "16", str(channels)]}
    return {"image": {"shape": sides, "dtype": dtype, "encodingFormat": "png"}}


STEPS: dict[str, Any] = {
    "observation": fields(image=image(), depth=image(1, "uint16"), state=tensor([3], "float32")),
    "action": tensor([4], "float32"),
    "reward": tensor([], "float32"),
    "is_first": tensor([], "bool"),
    "is_last": tensor([], "bool"),
    "is_terminal": tensor([], "bool"),
    "language_instruction": {"text": {}},
    "language_embedding": tensor([2], "float32"),
}


def steps(**changed: Any) -> dict[str, Any]:
    at = np.arange(5)
    values = {
        "steps/observation/image": [encode_png(frame) for frame in FRAMES],
        "steps/observation/depth": [b"?"] * 5,
        "steps/observation/state": STATES,
        "steps/action": ACTIONS,
        "steps/reward": (at == 4).astype(np.float32),
        "steps/is_first": at == 0,
        "steps/is_last": at == 4,
        "steps/is_terminal": at == 4,
        "steps/language_instruction": ["größer".encode()] * 5,
        "steps/language_embedding": np.zeros(10, np.float32),
        "episode_metadata/file_path": [b"/raw/7.h5"],
        "episode_metadata/success": np.array([1]),
    }
    return values | changed


def dataset(
    folder: Path, *records: bytes, split: str = "train", shard: str = "-00000-of-00001", **more: Any
) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    told = fields(
        steps={"sequence": {"feature": fields(**(STEPS | more)), "length": "-1"}},
        episode_metadata=fields(file_path={"text": {}}, success=tensor([], "bool")),
    )
    (folder / "features.json").write_text(json.dumps(told))
    content = b"".join(map(record, records or [example(**steps())]))
    (folder / f"bridge-{split}.tfrecord{shard}").write_bytes(content)
    return folder


imported = partial(imported_by, RldsImporter)
refused = partial(refused_by, RldsImporter)


def test_steps_of_every_split_and_file(tmp_path: Path) -> None:
    source = tmp_path / "1.0.0"
    dataset(source, *[example(**steps())] * 2, shard="-00000-of-00003")
    dataset(source, split="val", shard="")
    report = imported(source)
    assert (report.episodes, report.steps) == (3, 12)
    assert report.lost == (
        "2 of 3 files of the split train: not there",
        LAST_ROW,
        "the feature language_embedding",
        "the feature observation/depth",
    )
    for reader, split in zip(readers(report.path), ("train", "train", "val"), strict=True):
        assert np.array_equal(reader.frames, FRAMES)
        assert np.array_equal(reader.states, STATES)
        assert np.array_equal(reader.column("action"), ACTIONS[:4])
        assert reader.column("text").tolist() == ["größer"] * 4
        assert reader.column("reward").tolist() == [0, 0, 0, 1]
        assert reader.column("terminated").tolist() == [False] * 3 + [True]
        assert not reader.column("truncated").any()
        said = {"episode_metadata/file_path": "/raw/7.h5", "episode_metadata/success": 1}
        assert reader.about["origin"] == {"split": split} | said
    assert len(RldsImporter(split="val").read(source).recordings) == 1
    shutil.rmtree(report.path)
    assert len(RldsImporter(camera="image").read(source).recordings) == 3
    refused(source, "no split 'test' for format.split=; it has: train, val", split="test")
    refused(tmp_path, "1.0.0, which looks like format=rlds", EpisodeNotFound)


def test_an_action_of_several_features(tmp_path: Path) -> None:
    """As RT-1 has it; numbers of every kind, and tensors kept as bytes."""
    acted = fields(
        grip=tensor([], "int64"),
        world=tensor([3], "float64", "zlib"),
        rotation=tensor([2], "int32", "bytes"),
        said={"text": {}},
    )
    grip, world = np.array([0, -1, 2, -(2**40), 3]), np.random.default_rng(0).normal(size=(5, 3))
    rotation = np.arange(10, dtype=np.int32).reshape(5, 2)
    held = {
        "steps/action/grip": grip,
        "steps/action/world": [zlib.compress(row.tobytes()) for row in world],
        "steps/action/rotation": [row.tobytes() for row in rotation],
        "steps/action/said": [b""] * 5,
    }
    source = dataset(tmp_path / "rt1", example(**steps(**held)), action=acted)
    report = imported(source, state=["observation/state", "action/grip"])
    joined = np.concatenate([grip[:, None], world, rotation], 1)
    [reader] = readers(report.path)
    assert np.array_equal(reader.column("action"), joined[:4])
    assert reader.states[:, 3].tolist() == grip.tolist()
    assert "action/grip, action/world, action/rotation to one vector of actions" in str(report)
    assert "the feature action/said" in report.lost


def test_frames_that_are_tensors(tmp_path: Path) -> None:
    held = {"steps/observation/image": FRAMES.astype(np.int64).reshape(-1)}
    shown = fields(image=tensor([12, 16, 3], "uint8"), state=tensor([3], "float32"))
    source = dataset(tmp_path / "raw", example(**steps(**held)), observation=shown)
    assert np.array_equal(readers(imported(source).path)[0].frames, FRAMES)


def test_packed_numbers() -> None:
    values = [0, 1, 127, 128, 300, 2**32, 2**63 - 1, -1, -(2**63)]
    packed = b"".join(map(varint, values))
    assert _varints(memoryview(packed)).view(np.int64).tolist() == values
    for broken in (b"\x80", b"\xff" * 11 + b"\x01"):
        with pytest.raises(ValueError, match=r"packed numbers|more than 64 bits"):
            _varints(memoryview(broken))


def flipped(content: bytes) -> bytes:
    return content[:400] + bytes([content[400] ^ 1]) + content[401:]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda content: content[:-9], "the record at byte 0 of .* is cut off or damaged"),
        (flipped, "the record at byte 0 of .* is cut off or damaged"),
        (lambda content: b"\x1f\x8b" + content, "is no TFRecord file: it is compressed"),
        (lambda content: b"version https" + content, "its first length is damaged"),
        (lambda content: b"", "has no record in its 1 files"),
        (lambda content: record(b"\x0a\xff"), "is no tf.train.Example"),
        (lambda content: record(b"\x0f"), "is no tf.train.Example: a field of wire type 7"),
        (lambda content: record(b""), "has no steps/observation/image"),
        (lambda content: record(b"\xff" * 12), "is no tf.train.Example: a number of more than"),
    ],
)
def test_damage_gets_a_sentence(
    tmp_path: Path, damage: Callable[[bytes], bytes], sentence: str
) -> None:
    source = dataset(tmp_path / "1.0.0")
    file = source / "bridge-train.tfrecord-00000-of-00001"
    file.write_bytes(damage(file.read_bytes()))
    refused(source, sentence)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    source = dataset(tmp_path / "1.0.0")
    file = source / "bridge-train.tfrecord-00000-of-00001"
    file.unlink()
    os.mkfifo(file)
    refused(source, "is no file with records: a folder, a pipe or a device")


def test_a_file_that_is_cut_off_keeps_its_whole_records(tmp_path: Path) -> None:
    source = dataset(tmp_path / "1.0.0", *[example(**steps())] * 3)
    file = source / "bridge-train.tfrecord-00000-of-00001"
    file.write_bytes(file.read_bytes()[:-100])
    out = tmp_path / "out"
    report = import_dataset(source, out, RldsImporter(), skip_bad=True, progress=False)
    assert report.episodes == 2
    assert "is cut off or damaged" in str(report)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"steps/action": ACTIONS[:4]}, r"has 16 numbers in steps/action, but 5 steps of \(4,\)"),
        ({"steps/action": [b"?"] * 5}, "has in steps/action: an encoding 'none'"),
        ({"steps/language_instruction": [b"a"]}, "has 1 words in steps/language_instr.*, not 5"),
        ({"steps/observation/image": [b"?"] * 5}, "image of .* at row 0 is not an image"),
    ],
)
def test_records_that_contradict_the_features(
    tmp_path: Path, changed: dict[str, Any], sentence: str
) -> None:
    source = dataset(tmp_path / "1.0.0", example(**steps(**changed)))
    refused(source, sentence, (InvalidEpisode, InvalidFrame))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"camera": "wrist"}, "no camera 'wrist' for format.camera=; it has: observation/image"),
        ({"camera": "depth"}, "no camera 'depth' for format.camera="),
        ({"state": "state"}, "no 'state' for format.state=; it has: action, is_first, is_last"),
        ({"action": "acts"}, "no 'acts' for format.action="),
        ({"action": "language_instruction"}, "no numbers in steps/language_instruction"),
    ],
)
def test_what_is_asked_for_must_be_there(
    tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    refused(dataset(tmp_path / "1.0.0"), sentence, **settings)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({}, "has no steps; it has"),
        ([], "must hold a JSON object"),
        ({"featuresDict": {"features": {"steps": 7}}}, "features.json says '7' of steps"),
        (fields(steps={"image": {"shape": {"dimensions": ["x"]}}}), "gives steps no shape"),
    ],
)
def test_a_damaged_description(tmp_path: Path, told: Any, sentence: str) -> None:
    source = dataset(tmp_path / "1.0.0")
    (source / "features.json").write_text(json.dumps(told))
    refused(source, sentence)
