"""Writes and reads diffusion_policy's replay buffer, a Zarr v2 group."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc
from zarr.storage import LocalStore, ZipStore

from chronosim.errors import InvalidAction, InvalidEpisode
from chronosim.formats.columns import (
    CONTENTS,
    LAST,
    EpisodeColumns,
    FrameSource,
    check_last,
    make_columns,
    with_last_row,
    without_last_row,
)
from chronosim.formats.exporting import alike, provenance
from chronosim.formats.importing import Contents
from chronosim.formats.safety import camera_of, other_format
from chronosim.types import Frame

_CHUNK_BYTES = 2_000_000  # as replay_buffer.py's get_optimal_chunks


@dataclass(frozen=True, slots=True)
class DiffusionPolicyExporter:
    """A replay buffer: every row of every episode end to end, and where episodes end.

    Besides what diffusion_policy trains on it holds `reward`, `terminated`, `truncated`, `seed`,
    `latency` and `text` (a number; the group's attribute `texts` has the words).

    Attributes:
        camera: Name of the array of frames, uint8 (rows, height, width, 3).
        state: Name of the array of states, float32 (rows, s); there is none without a state.
        last_observation: `drop`, or `keep` it as one more row: the one that an import could not
            use, or else one that repeats the last action.

    Raises:
        InvalidConfig: `last_observation` is something else.
    """

    camera: str = "img"
    state: str = "state"
    last_observation: str = "drop"

    def __post_init__(self) -> None:
        check_last(self.last_observation)

    @property
    def holds(self) -> frozenset[str]:
        """What it has a place for."""
        return CONTENTS - (set() if self.last_observation == "keep" else {LAST})

    def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
        """Writes recordings into an empty folder, which is the group itself.

        Raises:
            InvalidAction: The actions are strings.
            InvalidEpisode: The episodes are not alike.
        """
        root = zarr.open_group(folder, mode="w", zarr_format=2)
        data, meta = root.create_group("data"), root.create_group("meta")
        texts: dict[str, int] = {}
        ends, said = [0], []
        for recording in alike(recordings):
            if recording.actions.dtype.kind not in "biuf":
                raise InvalidAction(f"a replay buffer holds numbers, not {recording.actions.dtype}")
            kept = with_last_row(recording, self.last_observation)
            for name, values in self._columns(kept, texts).items():
                _append(data, name, values)
            for block in _blocks(kept):
                _append(data, self.camera, block)
            ends.append(ends[-1] + len(kept))
            said.append(provenance(recording))
        _append(meta, "episode_ends", np.array(ends[1:], np.int64))
        root.attrs["texts"] = list(texts)
        root.attrs["chronosim"] = {"last_observation": self.last_observation, "episodes": said}

    def _columns(self, recording: EpisodeColumns, texts: dict[str, int]) -> dict[str, np.ndarray]:
        words = [texts.setdefault(text, len(texts)) for text in recording.texts]
        columns = {
            "action": recording.actions,
            self.state: recording.states[: len(recording)],
            "reward": recording.rewards,
            "terminated": recording.terminated,
            "truncated": recording.truncated,
            "seed": recording.seeds,
            "latency": recording.latency,
            "text": np.array(words, np.int64),
        }
        return {name: values for name, values in columns.items() if values.size}


def _blocks(recording: EpisodeColumns) -> Iterator[np.ndarray]:
    """The frames that have a row, in blocks as long as a chunk."""
    frames = islice(iter(recording.frames), len(recording))
    height, width = recording.size
    while block := list(islice(frames, max(1, _CHUNK_BYTES // (height * width * 3)))):
        yield np.stack(block)


def _append(group: Any, name: str, values: np.ndarray) -> None:
    """Adds rows to an array, which the first of them begin."""
    if name in group:
        group[name].append(values)
        return
    row = max(1, values[0].nbytes)
    group.create_array(
        name,
        shape=values.shape,
        chunks=(max(1, _CHUNK_BYTES // row), *values.shape[1:]),
        dtype=values.dtype,
        compressors=Blosc("zstd", clevel=5, shuffle=Blosc.BITSHUFFLE),
    )[:] = values


@dataclass(frozen=True, slots=True)
class DiffusionPolicyImporter:
    """A replay buffer, as a folder or in a zip.

    It knows no clock (but for one that chronosim wrote): give the conversion a `source_fps`.

    Attributes:
        camera: Which array holds the frames, (rows, height, width, 3), 0 to 255; None: the only one
            of that shape.
        action: The array of actions.
        state: The array of states; None: no state.
    """

    camera: str | None = None
    action: str = "action"
    state: str | None = "state"

    def read(self, source: Path) -> Contents:
        """Opens a data set.

        Raises:
            EpisodeNotFound: It is no Zarr group.
            InvalidEpisode: It has no episodes, frames or actions, or holds pickles.
        """
        root = open_guarded(source)
        try:
            data: Any = root["data"]
            ends = np.asarray(root["meta/episode_ends"]).astype(np.int64)
        except KeyError as error:
            raise InvalidEpisode(f"{source} is no replay buffer: it has no {error}") from error
        arrays = dict(data.arrays())
        known = ", ".join(sorted(arrays))
        if self.action not in arrays:
            raise InvalidEpisode(f"{source} has no array {self.action!r}; it has: {known}")
        rows = arrays[self.action].shape[0]
        if not len(ends) or (np.diff(ends, prepend=0) < 1).any() or ends[-1] > rows:
            raise InvalidEpisode(f"the episode_ends of {source} do not divide its {rows} rows")
        cameras = [name for name, array in arrays.items() if array.ndim == 4]
        camera = camera_of(cameras, self.camera, source)
        state = self.state if self.state in arrays else None
        ours = {"reward", "terminated", "truncated", "seed", "latency", "text"}
        unread = sorted(set(arrays) - ours - {camera, self.action, state})
        reader = _Reader(source.name, arrays, dict(root.attrs), camera, self.action, state)
        recordings = [
            partial(reader.recording, number, int(begin), int(end))
            for number, (begin, end) in enumerate(pairwise([0, *ends]))
        ]
        return Contents(recordings, tuple(f"the array {name}" for name in unread))


@dataclass(frozen=True, slots=True)
class _Reader:
    name: str
    arrays: dict[str, Any]
    attributes: dict[str, Any]
    camera: str
    action: str
    state: str | None

    def recording(self, number: int, begin: int, end: int) -> EpisodeColumns:
        said: dict[str, Any] = self.attributes.get("chronosim") or {}
        episode = (said.get("episodes") or {number: {}})[number]
        texts = self.attributes.get("texts")
        words = self._column("text", begin, end)
        found = make_columns(
            str(episode.get("episode", f"episode {number}")),
            FrameSource(partial(_stored, self.arrays[self.camera], begin, end)),
            np.asarray(self.arrays[self.action][begin:end]),
            closed=False,
            fps=episode.get("fps"),
            states=None if self.state is None else np.asarray(self.arrays[self.state][begin:end]),
            texts=None if words is None or not texts else [str(texts[int(word)]) for word in words],
            about=episode.get("about"),
            rewards=self._column("reward", begin, end),
            terminated=self._column("terminated", begin, end),
            truncated=self._column("truncated", begin, end),
            seeds=self._column("seed", begin, end),
            latency=self._column("latency", begin, end),
        )
        kept = said.get("last_observation") == "keep" and len(found) > 1
        return without_last_row(found) if kept else found

    def _column(self, name: str, begin: int, end: int) -> np.ndarray | None:
        return np.asarray(self.arrays[name][begin:end]) if name in self.arrays else None


def _stored(array: Any, begin: int, end: int) -> Iterator[Frame]:
    """The frames of an array, a chunk at a time; diffusion_policy's own are whole floats."""
    for first in range(begin, end, array.chunks[0]):
        block = np.asarray(array[first : min(first + array.chunks[0], end)])
        frames = block.astype(np.uint8)
        if block.shape[-1] != 3 or (frames != block).any():
            raise InvalidEpisode(
                f"{array.path} must hold RGB frames of whole values from 0 to 255 in its last "
                f"axis, not {block.dtype} of shape {block.shape}, {block.min()} to {block.max()}"
            )
        yield from frames


_CODECS = {
    *("adler32", "astype", "bitround", "blosc", "bz2", "crc32", "delta", "fixedscaleoffset"),
    *("fletcher32", "gzip", "lz4", "lzma", "packbits", "quantize", "shuffle", "zlib", "zstd"),
}
"""Codecs that only compress and filter. numcodecs has others; one of them unpickles."""


def open_guarded(source: Path) -> zarr.Group:
    """Opens a Zarr v2 group, a folder or a zip, for reading.

    Raises:
        EpisodeNotFound: There is no such group.
        InvalidEpisode: It holds Python objects, uses a codec that is not known to be harmless, or
            is an archive with paths that lead out of it.
    """
    for name, content in _arrays(source):
        _check_array(f"{source}/{name}", content)
    try:
        store = LocalStore(source, read_only=True) if source.is_dir() else ZipStore(source)
        return zarr.open_group(store, mode="r", zarr_format=2, use_consolidated=False)
    except FileNotFoundError as error:
        raise other_format(source, "diffusion_policy data set", ".zgroup of Zarr v2") from error
    except (OSError, ValueError, KeyError) as error:
        raise InvalidEpisode(f"{source} cannot be opened as a Zarr v2 group: {error}") from error


def _arrays(source: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the metadata of every array."""
    if source.is_dir():
        root = source.resolve()
        for path in sorted(source.rglob("*")):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise InvalidEpisode(f"{path} is a link out of {source}: refused")
            if path.name == ".zarray":
                yield path.relative_to(source).as_posix(), path.read_bytes()
        return
    try:
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                if ".." in PurePosixPath(name).parts or name.startswith(("/", "\\")):
                    raise InvalidEpisode(f"{source} holds {name!r}, which leads out of it: refused")
                if name.rpartition("/")[2] == ".zarray":
                    yield name, archive.read(name)
    except zipfile.BadZipFile as error:
        raise InvalidEpisode(f"{source} is neither a folder nor a zip: {error}") from error


def _check_array(name: str, content: bytes) -> None:
    try:
        described = json.loads(content)
        codecs = [described.get("compressor"), *(described.get("filters") or [])]
        ids = [codec["id"] for codec in codecs if codec is not None]
        dtype = described["dtype"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidEpisode(f"{name} is no description of an array: {error}") from error
    if _holds_objects(dtype):
        raise InvalidEpisode(
            f"{name} holds Python objects, which may be pickles that run any code: refused"
        )
    for found in ids:
        if found not in _CODECS and not str(found).startswith("imagecodecs_"):
            raise InvalidEpisode(f"{name} uses the codec {found!r}, not known to be safe: refused")


def _holds_objects(dtype: Any) -> bool:
    """Whether a dtype, which may be a list of named ones, has objects in it."""
    if isinstance(dtype, list):
        return any(_holds_objects(part[1]) for part in dtype)
    return str(dtype).lstrip("|<>=").startswith("O")
