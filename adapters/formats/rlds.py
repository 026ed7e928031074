"""Reads RLDS, as Open X-Embodiment's sets are: TFDS's TFRecord files, without TensorFlow.

A record is a length, its checksum, a `tf.train.Example` and its checksum; an Example is a map of
names to lists of bytes, floats or integers (tensorflow/core/example/feature.proto). Steps are
flattened: the values of all steps of an episode lie end to end under `steps/<feature>`.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numpy as np

from chronosim.errors import InvalidEpisode
from chronosim.formats.columns import EpisodeColumns, FrameSource, by_row, make_columns
from chronosim.formats.importing import Contents
from chronosim.formats.pixels import FrameMaker, picture_kind
from chronosim.formats.safety import (
    camera_of,
    check_not_pointer,
    first_line,
    names_of,
    other_format,
    read_json,
)
from chronosim.frames import decode_frame
from chronosim.types import Frame

_SHARD = re.compile(r"-(?P<split>[^-]+)\.tfrecord(-(?P<at>\d{5})-of-(?P<of>\d{5}))?$")
_LARGEST = 2 << 30  # bytes of a record: what protobuf itself can hold
_SAID = 4000  # characters of what is said of an episode, which each keeps
_WORDS = ("language_instruction", "observation/natural_language_instruction")


@dataclass(frozen=True, slots=True)
class RldsImporter:
    """A version's folder of a TFDS data set: `features.json` and files `*.tfrecord*`.

    Names are those of `features.json` below `steps`, with slashes. It knows no clock: give the
    conversion a `source_fps`. What is said of a whole episode, and its split, go along in the
    episode's `about`.

    Attributes:
        camera: Which image, such as `observation/image`; None: the only one.
        action: Which feature holds the actions, or several that are joined; that of a dict is all
            in it.
        state: Which features, joined, are the states; None: `observation/state`, if there is one.
        split: Which split, such as `train`; None: all.
    """

    camera: str | None = None
    action: str | Sequence[str] = "action"
    state: str | Sequence[str] | None = None
    split: str | None = None

    def read(self, source: Path) -> Contents:
        """Opens a data set.

        Raises:
            EpisodeNotFound: There is none.
            InvalidConfig: A setting is no name.
            InvalidEpisode: It has no steps, lacks what was asked for, or its files are of another
                kind.
        """
        if not (source / "features.json").is_file():
            raise other_format(source, "RLDS data set", "features.json")
        features = dict(_features(read_json(source / "features.json")))
        steps = {n.removeprefix("steps/"): f for n, f in features.items() if n.startswith("steps/")}
        if not steps:
            raise InvalidEpisode(
                f"{source} has no steps; it has: {', '.join(features) or 'nothing'}"
            )
        kinds = {name: feature.said for name, feature in steps.items()}
        cameras = [name for name, feature in steps.items() if feature.is_camera]
        camera = camera_of(cameras, self.camera, source, kinds)
        actions = _within(steps, names_of(_names(steps), self.action, (), source, "format.action"))
        usual = ("observation/state",)
        states = _within(steps, names_of(_names(steps), self.state, usual, source, "format.state"))
        words = next((name for name in _WORDS if name in steps and steps[name].is_text), None)
        reader = _Reader(source, features, camera, actions, states, words)
        for what, names in (("actions", actions), ("states", states)):
            if len(names) > 1:
                reader.converted.add(f"{', '.join(names)} to one vector of {what}")
        used = {camera, *actions, *states, words, *_FLAGS}
        unread = {f"the feature {name}" for name in set(steps) - used}
        shards, missing = _shards(source, self.split)
        recordings = [
            partial(reader.recording, path, split, number, begin)
            for path, split in shards
            for number, begin in enumerate(_records(path))
        ]
        if not recordings:
            raise InvalidEpisode(f"{source} has no record in its {len(shards)} files")
        return Contents(recordings, unread | missing, reader.converted)


_FLAGS = ("reward", "is_first", "is_last", "is_terminal")


@dataclass(frozen=True, slots=True)
class _Feature:
    """What `features.json` says of a leaf.

    Attributes:
        kind: `image`, `text` or `tensor`.
        shape: Of one step's value; None where a side varies.
        dtype: As TFDS names it.
        encoding: `none`, or `bytes` or `zlib` for a tensor that is kept as one string.
    """

    kind: str
    shape: tuple[int | None, ...] = ()
    dtype: str = "string"
    encoding: str = "none"

    @property
    def is_camera(self) -> bool:
        if self.kind == "image":
            return self.dtype == "uint8" and self.shape[-1:] != ()
        known = self.kind == "tensor" and None not in self.shape and self.dtype in _NUMBERS
        shape = [size or 0 for size in self.shape]
        return known and picture_kind(shape, np.dtype(self.dtype)) == "colour"

    @property
    def is_text(self) -> bool:
        return self.kind == "text" or (self.dtype in ("string", "object") and not self.shape)

    @property
    def said(self) -> str:
        return f"{self.kind} of {self.dtype} {self.shape}"


_NUMBERS = {
    *("bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
}


def _features(node: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, _Feature]]:
    """The leaves below a node of `features.json`, by the names that records give them."""
    if not isinstance(node, dict) or depth > 32:
        raise InvalidEpisode(f"features.json says {str(node)[:80]!r} of {name or 'its root'}")
    inner = node.get("featuresDict")
    parts = inner.get("features") if isinstance(inner, dict) else None
    if isinstance(parts, dict):
        for key, part in parts.items():
            yield from _features(part, f"{name}/{key}" if name else str(key), depth + 1)
    elif isinstance(node.get("sequence"), dict):
        inner = list(_features(node["sequence"].get("feature"), name, depth + 1))
        # A sequence within steps varies in length: it has no place in a row.
        varies = (None,) if "/" in name else ()
        for key, found in inner:
            yield key, _Feature(found.kind, (*varies, *found.shape), found.dtype, found.encoding)
    else:
        kind = next((kind for kind in ("image", "tensor", "text") if kind in node), "")
        yield name, _leaf(kind, node.get(kind), name)


def _leaf(kind: str, said: Any, name: str) -> _Feature:
    if kind not in ("image", "tensor"):
        return _Feature("text") if kind == "text" else _Feature("other", (None,), "unknown")
    try:
        sides = [int(size) for size in said.get("shape", {}).get("dimensions", [])]
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidEpisode(f"features.json gives {name} no shape: {said!r}") from error
    dtype = str(said.get("dtype", "uint8" if kind == "image" else "string")).removeprefix("tf.")
    encoding = str(said.get("encoding") or "none").lower() if kind == "tensor" else "none"
    return _Feature(kind, tuple(size if size >= 0 else None for size in sides), dtype, encoding)


def _names(features: Mapping[str, _Feature]) -> set[str]:
    """Names of leaves, and of the dicts that they lie in."""
    parts = [name.split("/") for name in features]
    return {"/".join(each[:depth]) for each in parts for depth in range(1, len(each) + 1)}


def _within(features: Mapping[str, _Feature], names: Sequence[str]) -> tuple[str, ...]:
    """The leaves of these names, numbers alone where a name is that of a dict."""
    found = []
    for name in names:
        inner = [leaf for leaf in features if leaf.startswith(f"{name}/")]
        found += [name] if name in features else [n for n in inner if _is_vector(features[n])]
    return tuple(found)


def _is_vector(feature: _Feature) -> bool:
    return feature.kind == "tensor" and feature.dtype in _NUMBERS and None not in feature.shape


def _shards(source: Path, split: str | None) -> tuple[list[tuple[Path, str]], set[str]]:
    """The files of a split, and a sentence for those that are missing.

    Raises:
        InvalidEpisode: There is none.
    """
    found: dict[str, list[tuple[Path, re.Match[str]]]] = {}
    for path in sorted(source.iterdir()):
        match = None if path.name.startswith(".") else _SHARD.search(path.name)
        if match is not None:
            found.setdefault(match["split"], []).append((path, match))
    if not found:
        raise InvalidEpisode(f"{source} has no *.tfrecord* file; other kinds of TFDS are not read")
    chosen = found if split is None else {split: found.get(split, [])}
    if split is not None and split not in found:
        known = ", ".join(sorted(found))
        raise InvalidEpisode(f"{source} has no split {split!r} for format.split=; it has: {known}")
    missing = set()
    for name, shards in chosen.items():
        most = max(int(match["of"] or 1) for _, match in shards)
        if most > len(shards):
            missing.add(f"{most - len(shards)} of {most} files of the split {name}: not there")
    return [(path, name) for name, shards in chosen.items() for path, _ in shards], missing


def _records(path: Path) -> Iterator[int]:
    """Where records begin; one that is cut off counts, and is an error when it is read."""
    if not path.is_file():
        raise InvalidEpisode(f"{path} is no file with records: a folder, a pipe or a device")
    check_not_pointer(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = 0
        while begin < size:
            yield begin
            length = _length(file, path, begin)
            if length is None:
                return
            begin += 16 + length
            file.seek(begin)


def _length(file: BinaryIO, path: Path, begin: int) -> int | None:
    """How long the record is that begins here; None: there is no knowing."""
    head = file.read(12)
    if len(head) < 12 or _masked(head[:8]) != struct.unpack("<I", head[8:])[0]:
        if begin == 0:
            kind = "it is compressed" if head[:2] == b"\x1f\x8b" else "its first length is damaged"
            raise InvalidEpisode(f"{path} is no TFRecord file: {kind}")
        return None
    return int(struct.unpack("<Q", head[:8])[0])


def _masked(content: bytes) -> int:
    """TFRecord's checksum: CRC-32C, turned and moved."""
    crc = int(google_crc32c.value(content))
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _record(path: Path, begin: int) -> bytes:
    """Reads a record.

    Raises:
        InvalidEpisode: It is cut off or damaged.
    """
    with path.open("rb") as file:
        file.seek(begin)
        length = _length(file, path, begin)
        where = f"the record at byte {begin} of {path}"
        if length is None or length > min(_LARGEST, path.stat().st_size):
            raise InvalidEpisode(f"{where} is cut off or damaged")
        content, check = file.read(length), file.read(4)
    if len(content) < length or struct.pack("<I", _masked(content)) != check:
        raise InvalidEpisode(f"{where} is cut off or damaged")
    return content


Values = list[bytes] | np.ndarray


def _parse(content: bytes) -> dict[str, Values]:
    """Reads a `tf.train.Example`: the map that its first field holds.

    Raises:
        ValueError, IndexError, struct.error: It is none.
    """
    found: dict[str, Values] = {}
    for features in _inner(memoryview(content), 1):
        for entry in _inner(features, 1):
            parts = {number: value for number, _, value in _fields(entry)}
            found[bytes(parts.get(1, b"")).decode()] = _feature_values(parts.get(2, b""))
    return found


def _feature_values(feature: Any) -> Values:
    for number, wire, value in _fields(memoryview(feature)):
        if wire == 2 and number == 1:
            return [bytes(each) for each in _inner(value, 1)]
        if wire == 2 and number == 2:
            parts = [bytes(each) for _, kind, each in _fields(value) if kind in (2, 5)]
            return np.frombuffer(b"".join(parts), "<f4")
        if wire == 2 and number == 3:
            packed = [_varints(each) for _, kind, each in _fields(value) if kind == 2]
            single = [each for _, kind, each in _fields(value) if kind == 0]
            return np.concatenate([*packed, np.array(single, np.uint64)]).view(np.int64)
    return []


def _inner(message: memoryview, number: int) -> Iterator[memoryview]:
    """The messages, strings or packed numbers in a field."""
    return (value for found, wire, value in _fields(message) if (found, wire) == (number, 2))


def _fields(message: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field of a protobuf message."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield tag >> 3, wire, value
            continue
        size = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            size, at = _varint(message, at)
        if size is None or at + size > end:
            raise ValueError(f"a field of wire type {wire} ends beyond its message")
        yield tag >> 3, wire, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _varints(packed: memoryview) -> np.ndarray:
    """Packed numbers, uint64; all at once, for they may be pixels."""
    raw = np.frombuffer(packed, np.uint8)
    ends = np.flatnonzero(raw < 128)
    if raw.size and (not ends.size or ends[-1] != raw.size - 1):
        raise ValueError("packed numbers that end within one")
    begins = np.append(0, ends[:-1] + 1) if ends.size else ends
    lengths = ends - begins + 1
    values = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max(initial=0))):
        if place > 9:
            raise ValueError("a number of more than 64 bits")
        has = lengths > place
        part = raw[begins[has] + place].astype(np.uint64) & np.uint64(127)
        values[has] |= part << np.uint64(7 * place)
    return values


@dataclass(frozen=True, slots=True)
class _Reader:
    source: Path
    features: Mapping[str, _Feature]
    camera: str
    actions: tuple[str, ...]
    states: tuple[str, ...]
    words: str | None
    converted: set[str] = field(default_factory=set)

    def recording(self, path: Path, split: str, number: int, begin: int) -> EpisodeColumns:
        name = f"{path.name}/{number}"
        example, rows = self._example(path, begin, name)
        flags = {key: self._flag(example, key, rows, name) for key in _FLAGS}
        last, terminal = flags["is_last"], flags["is_terminal"]
        ended = None if terminal is None else terminal != 0
        cut = None if last is None else (last != 0) & (False if ended is None else ~ended)
        about, lost = self._said(example)
        return make_columns(
            name,
            FrameSource(partial(self._frames, path, begin, name)),
            self._joined(example, self.actions, rows, name),
            closed=False,
            states=self._joined(example, self.states, rows, name) if self.states else None,
            texts=self._texts(example, rows, name),
            about={"split": split, **about},
            lost=lost,
            rewards=flags["reward"],
            terminated=ended,
            truncated=cut,
        )

    def _example(self, path: Path, begin: int, name: str) -> tuple[dict[str, Values], int]:
        """A record, and how many steps it has."""
        content = _record(path, begin)
        try:
            example = _parse(content)
        except (ValueError, IndexError, struct.error) as error:
            raise InvalidEpisode(f"{name} is no tf.train.Example: {first_line(error)}") from error
        shown = example.get(f"steps/{self.camera}")
        if shown is None or not len(shown):
            raise InvalidEpisode(f"{name} has no steps/{self.camera}")
        shape = self.features[f"steps/{self.camera}"].shape
        size = 1 if isinstance(shown, list) else prod(side or 1 for side in shape)
        return example, len(shown) // size

    def _values(self, example: Mapping[str, Values], key: str, rows: int, name: str) -> np.ndarray:
        """A feature's numbers, (rows, ...), in the dtype that TFDS would give them."""
        feature, values = self.features[f"steps/{key}"], example.get(f"steps/{key}")
        if values is None or not _is_vector(feature):
            raise InvalidEpisode(f"{name} has no numbers in steps/{key}, which is {feature.said}")
        shape = tuple(side or 0 for side in feature.shape)
        if isinstance(values, list):
            values = self._decoded(values, feature, key, name)
        if len(values) != rows * prod(shape):
            raise InvalidEpisode(
                f"{name} has {len(values)} numbers in steps/{key}, but {rows} steps of {shape}"
            )
        made = values.reshape(rows, *shape).astype(feature.dtype)
        if (
            values.dtype.kind == "i"
            and made.dtype.kind in "iu"
            and (made != values.reshape(made.shape)).any()
        ):
            raise InvalidEpisode(f"{name} has numbers in steps/{key} that are no {feature.dtype}")
        return made

    def _decoded(self, values: list[bytes], feature: _Feature, key: str, name: str) -> np.ndarray:
        """Numbers of tensors that are kept as strings of bytes."""
        size = prod(side or 0 for side in feature.shape) * np.dtype(feature.dtype).itemsize
        try:
            if feature.encoding == "zlib":
                values = [zlib.decompressobj().decompress(each, size + 1) for each in values]
            elif feature.encoding != "bytes":
                raise ValueError(f"an encoding {feature.encoding!r}")
            if any(len(each) != size for each in values):
                raise ValueError(f"not {size} bytes a step")
            return np.frombuffer(b"".join(values), feature.dtype)
        except (ValueError, zlib.error) as error:
            raise InvalidEpisode(f"{name} has in steps/{key}: {first_line(error)}") from error

    def _flag(
        self, example: Mapping[str, Values], key: str, rows: int, name: str
    ) -> np.ndarray | None:
        feature = self.features.get(f"steps/{key}")
        if feature is None or not _is_vector(feature) or prod(s or 0 for s in feature.shape) != 1:
            return None
        return self._values(example, key, rows, name).reshape(-1)

    def _joined(
        self, example: Mapping[str, Values], keys: Sequence[str], rows: int, name: str
    ) -> np.ndarray:
        parts = [self._values(example, key, rows, name) for key in keys]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            raise InvalidEpisode(f"{self.source} has no numbers in its actions")
        return np.concatenate([by_row(part) for part in parts], 1)

    def _texts(self, example: Mapping[str, Values], rows: int, name: str) -> list[str] | None:
        if self.words is None:
            return None
        texts = example.get(f"steps/{self.words}")
        if not isinstance(texts, list) or len(texts) != rows:
            found = "no" if texts is None else len(texts)
            raise InvalidEpisode(f"{name} has {found} words in steps/{self.words}, not {rows}")
        return [text.decode(errors="replace") for text in texts]

    def _said(self, example: Mapping[str, Values]) -> tuple[dict[str, Any], list[str]]:
        """What a record says of the whole episode: JSON values, and what is too long to keep."""
        said: dict[str, Any] = {}
        lost = []
        for key, values in example.items():
            if key.startswith("steps/"):
                continue
            plain = [
                v.decode(errors="replace") if isinstance(v, bytes) else v.item() for v in values
            ]
            if len(json.dumps(plain)) > _SAID:
                lost.append(f"the feature {key}")
            else:
                said[key] = plain[0] if len(plain) == 1 else plain
        return said, lost

    def _frames(self, path: Path, begin: int, name: str) -> Iterator[Frame]:
        example, rows = self._example(path, begin, name)
        shown = example[f"steps/{self.camera}"]
        feature = self.features[f"steps/{self.camera}"]
        if feature.kind != "image" or not isinstance(shown, list):
            pictures = self._values(example, self.camera, rows, name)
            yield from FrameMaker(self.camera, self.converted)(pictures)
            return
        for row, content in enumerate(shown):
            yield decode_frame(
                content,
                f"{self.camera} of {name} at row {row}",
                told=lambda what: self.converted.add(f"images to RGB frames: {what}"),
            )
