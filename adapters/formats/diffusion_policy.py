"""Writes diffusion_policy's replay buffer, a Zarr v2 group; reads it, UMI's, and Zarr v3."""

from __future__ import annotations

import bz2
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import islice, pairwise, product
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import zarr
from numcodecs import Blosc
from zarr.storage import LocalStore, ZipStore

from chronosim.errors import (
    InvalidAction,
    InvalidConfig,
    InvalidEpisode,
    MissingDependency,
)
from chronosim.formats.columns import (
    CONTENTS,
    LAST,
    SUCCESS,
    EpisodeColumns,
    FrameSource,
    by_row,
    check_last,
    make_columns,
    with_last_row,
    without_last_row,
)
from chronosim.formats.exporting import alike, provenance
from chronosim.formats.importing import Contents
from chronosim.formats.pixels import FrameMaker, picture_kind
from chronosim.formats.safety import (
    camera_of,
    check_not_pointer,
    first_line,
    names_of,
    other_format,
)
from chronosim.types import Frame

_OURS = ("reward", "terminated", "truncated", "seed", "latency", "success")
_CHUNK_BYTES = 2_000_000  # as replay_buffer.py's get_optimal_chunks


@dataclass(frozen=True, slots=True)
class DiffusionPolicyExporter:
    """A replay buffer: every row of every episode end to end, and where episodes end.

    Besides what diffusion_policy trains on it holds `reward`, `terminated`, `truncated`, `seed`,
    `latency`, `success` and `text` (a number; the group's attribute `texts` has the words).

    Attributes:
        camera: Name of the array of frames, uint8 (rows, height, width, 3).
        state: Name of the array of states, float32 (rows, s); there is none without a state.
        last_observation: `drop`, or `keep` it as one more row: the one that an import could not
            use, or else one that repeats the last action.

    Raises:
        InvalidConfig: `last_observation` is something else, or a name is no array's.
    """

    camera: str = "img"
    state: str = "state"
    last_observation: str = "drop"

    def __post_init__(self) -> None:
        check_last(self.last_observation)
        taken = ("action", "text", *_OURS)
        for name in (self.camera, self.state):
            if not name or "/" in name or name.startswith(".") or name in taken:
                raise InvalidConfig(f"an array of a replay buffer cannot be called {name!r}")
        if self.camera == self.state:
            raise InvalidConfig(f"camera and state must have two names, not both {self.state!r}")

    @property
    def holds(self) -> frozenset[str]:
        """What it has a place for."""
        return (CONTENTS | {SUCCESS}) - (set() if self.last_observation == "keep" else {LAST})

    def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
        """Writes recordings into an empty folder, which is the group itself.

        Raises:
            InvalidAction: The actions are strings.
            InvalidEpisode: The episodes are not alike.
        """
        root = zarr.open_group(folder, mode="w", zarr_format=2)
        data, meta = root.create_group("data"), root.create_group("meta")
        texts: dict[str, int] = {}
        columns: dict[str, _Growing] = {}
        ends, said = [0], []
        for recording in alike(recordings):
            if recording.actions.dtype.kind not in "biuf" or not recording.actions.size:
                found = f"{recording.actions.dtype} of shape {recording.actions.shape[1:]}"
                raise InvalidAction(
                    f"a replay buffer holds numbers for actions, but those of {recording.name} are "
                    f"{found}"
                )
            kept = with_last_row(recording, self.last_observation)
            for name, values in self._columns(kept, texts).items():
                columns.setdefault(name, _Growing(data, name)).add(recording.name, values)
            for block in _blocks(kept):
                columns.setdefault(self.camera, _Growing(data, self.camera)).add(
                    recording.name, block
                )
            ends.append(ends[-1] + len(kept))
            said.append(provenance(recording))
        for column in columns.values():
            column.finish()
        _create(meta, "episode_ends", np.array(ends[1:], np.int64))
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
            "success": recording.success,
            "text": np.array(words, np.int64),
        }
        return {name: values for name, values in columns.items() if values.size}


def _blocks(recording: EpisodeColumns) -> Iterator[np.ndarray]:
    """The frames that have a row, in blocks as long as a chunk."""
    frames = islice(iter(recording.frames), len(recording))
    height, width = recording.size
    while block := list(islice(frames, max(1, _CHUNK_BYTES // (height * width * 3)))):
        yield np.stack(block)


@dataclass(slots=True)
class _Growing:
    """An array that grows by whole chunks: each is compressed once, however short the episodes."""

    group: Any
    name: str
    held: list[np.ndarray] = field(default_factory=list)
    array: Any = None

    def add(self, episode: str, values: np.ndarray) -> None:
        dtype = self.held[0].dtype if self.held else getattr(self.array, "dtype", values.dtype)
        if dtype != values.dtype:
            kept = values.astype(dtype)
            if not np.array_equal(kept, values, equal_nan=values.dtype.kind == "f"):
                raise InvalidEpisode(
                    f"{self.name} of {episode} is {values.dtype}, which {dtype}, that of the "
                    "episodes before, cannot hold exactly: export them apart"
                )
            values = kept
        self.held.append(values)
        rows = sum(map(len, self.held))
        whole = rows - rows % _rows_of_a_chunk(values)
        if whole:
            self._write(whole)

    def finish(self) -> None:
        self._write(sum(map(len, self.held)))

    def _write(self, rows: int) -> None:
        values = np.concatenate(self.held)
        self.held = [values[rows:]] if rows < len(values) else []
        if self.array is None:
            self.array = _create(self.group, self.name, values[:rows])
        elif rows:
            self.array.append(values[:rows])


def _rows_of_a_chunk(values: np.ndarray) -> int:
    return max(1, _CHUNK_BYTES // max(1, values[0].nbytes))


def _create(group: Any, name: str, values: np.ndarray) -> Any:
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=(_rows_of_a_chunk(values), *values.shape[1:]),
        dtype=values.dtype,
        compressors=Blosc("zstd", clevel=5, shuffle=Blosc.BITSHUFFLE),
        config={"write_empty_chunks": True},  # a chunk that is left out looks like a lost one
    )
    array[:] = values
    return array


_UMI = ("eef_pos", "eef_rot_axis_angle", "gripper_width")
"""What UMI joins to an action, of `robot0_`, `robot1_` ..., in its order."""
_MOST = 2 << 30  # bytes read at once


@dataclass(frozen=True, slots=True)
class DiffusionPolicyImporter:
    """A replay buffer of Zarr v2 or v3, as a folder or in a zip; UMI's too.

    It knows no clock (but for one that chronosim wrote): give the conversion a `source_fps`. What
    `meta` says of an episode, and the group's attributes, go along in the episode's `about`.

    Attributes:
        camera: Which array holds the frames, as `pixels.FrameMaker` takes them; None: the only one.
        action: The array of actions, or several that are joined; None: `action`, or where there is
            none, UMI's `robot0_eef_pos`, `robot0_eef_rot_axis_angle`, `robot0_gripper_width` (and
            robot1's).
        state: The array of states, or several that are joined; None: `state`, if there is one.
    """

    camera: str | None = None
    action: str | Sequence[str] | None = None
    state: str | Sequence[str] | None = None

    def read(self, source: Path) -> Contents:
        """Opens a data set.

        Raises:
            EpisodeNotFound: It is no Zarr group.
            InvalidConfig: A setting is no name.
            InvalidEpisode: It has no episodes, frames or actions, lacks what was asked for, or
                holds pickles.
            MissingDependency: It needs imagecodecs.
        """
        root, files = open_guarded(source)
        arrays, meta = (_stored(root, part, files) for part in ("data", "meta"))
        kinds = {name: stored.kind for name, stored in arrays.items()}
        cameras = [name for name, stored in arrays.items() if stored.is_camera]
        camera = camera_of(cameras, self.camera, source, kinds)
        actions = _actions(arrays, self.action, source)
        states = names_of(arrays, self.state, ("state",), source, "format.state")
        attributes = dict(root.attrs)
        told, worded = _told(attributes), _words(arrays.get("text"), attributes)
        columns = [name for name in _OURS if name in arrays and arrays[name].is_column]
        used = [camera, *actions, *states, *columns, *(["text"] if worded is not None else [])]
        ends = _ends(meta, arrays, used, source)
        reader = _Reader(
            *(arrays, ends, camera, actions, states, columns, worded),
            *(told, _foreign(meta, attributes, ends)),
        )
        unread = {f"the array {name}" for name in set(arrays) - set(used)}
        unread |= set(_unread_meta(meta, ends)) | set(_unread_rows(arrays, used, ends))
        for name in used:
            unread |= set(_absences(arrays[name], int(ends[-1]), camera=name == camera))
        if actions != ("action",):
            reader.converted.add(f"{', '.join(actions)} to one vector of actions")
        recordings = [
            partial(reader.recording, number, int(begin), int(end))
            for number, (begin, end) in enumerate(pairwise([0, *ends]))
        ]
        return Contents(recordings, unread, reader.converted)


def _actions(
    arrays: Mapping[str, Any], asked: str | Sequence[str] | None, source: Path
) -> tuple[str, ...]:
    robots = sorted(name.removesuffix(_UMI[0]) for name in arrays if name.endswith("_eef_pos"))
    umi = [robot + part for robot in robots for part in _UMI if robot + part in arrays]
    usual = ("action",) if "action" in arrays or not umi else tuple(umi)
    names = names_of(arrays, asked, usual, source, "format.action")
    if not names:
        known = ", ".join(sorted(arrays))
        raise InvalidEpisode(
            f"{source} has no array 'action'; it has: {known}; name one of them, or several to be "
            "joined, with format.action="
        )
    return names


def _told(attributes: dict[str, Any]) -> dict[str, Any]:
    """What an export of ours says of the episodes."""
    said = attributes.pop("chronosim", None)
    return said if isinstance(said, dict) and isinstance(said.get("episodes"), list) else {}


def _words(stored: _Stored | None, attributes: dict[str, Any]) -> list[str] | None:
    """The words that the numbers of `text` stand for; [] if it holds words; None: neither."""
    texts = attributes.pop("texts", None)
    if stored is None or not stored.is_column:
        return None
    if stored.array.dtype.kind in "UTO":
        return []
    known = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    return texts if known and stored.array.dtype.kind in "iu" else None


def _ends(
    meta: Mapping[str, _Stored], arrays: Mapping[str, _Stored], used: Sequence[str], source: Path
) -> np.ndarray:
    """Where episodes end, int64."""
    stored = meta.get("episode_ends")
    if stored is None or stored.array.ndim != 1 or stored.array.dtype.kind not in "iu":
        found = "no" if stored is None else f"{stored.kind} as its"
        raise InvalidEpisode(f"{source} is no replay buffer: it has {found} meta/episode_ends")
    ends = stored.rows(0, len(stored)).astype(np.int64)
    rows = min(len(arrays[name]) for name in used)
    if not len(ends) or (np.diff(ends, prepend=0) < 0).any() or not 0 < ends[-1] <= rows:
        shortest = min(used, key=lambda name: len(arrays[name]))
        raise InvalidEpisode(
            f"the episode_ends of {source} do not divide its {rows} rows (of {shortest})"
        )
    return ends


def _foreign(
    meta: Mapping[str, _Stored], attributes: Mapping[str, Any], ends: np.ndarray
) -> list[dict[str, Any]]:
    """What others say of each episode: JSON values."""
    said: list[dict[str, Any]] = [{} for _ in ends]
    for name, stored in meta.items():
        if name != "episode_ends" and _is_of_episodes(stored, ends):
            for episode, value in zip(said, stored.rows(0, len(ends)).tolist(), strict=True):
                episode.setdefault("meta", {})[name] = value
    if attributes and len(json.dumps(attributes)) <= _SAID:
        said = [episode | {"attributes": dict(attributes)} for episode in said]
    return said


_SAID = 4000  # characters of attributes, which each episode keeps


def _is_of_episodes(stored: _Stored, ends: np.ndarray) -> bool:
    shape, kind = stored.array.shape, stored.array.dtype.kind
    return shape[0] == len(ends) and prod(shape[1:]) <= 64 and kind in "biufUT"


def _unread_meta(meta: Mapping[str, _Stored], ends: np.ndarray) -> Iterator[str]:
    for name, stored in meta.items():
        if name != "episode_ends" and not _is_of_episodes(stored, ends):
            yield f"meta/{name} ({stored.kind})"


def _unread_rows(
    arrays: Mapping[str, _Stored], used: Sequence[str], ends: np.ndarray
) -> Iterator[str]:
    more = max(len(arrays[name]) for name in used) - int(ends[-1])
    if more:
        yield f"{more} rows after the last episode's end"


def _absences(stored: _Stored, rows: int, *, camera: bool) -> Iterator[str]:
    """Says which chunks are not there; an all-zero one may be left out, or it was lost."""
    absent, count = stored.absent(rows)
    if not absent:
        return
    if camera and len(absent) == count:
        raise InvalidEpisode(f"none of the {count} chunks of {stored.name} is there: no frame")
    step = (stored.array.shards or stored.array.chunks)[0]
    spans = [(first * step, min((first + 1) * step, rows) - 1) for first in absent]
    merged: list[tuple[int, int]] = []
    for begin, end in spans:
        if merged and merged[-1][1] >= begin - 1:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((begin, end))
    said = ", ".join(f"{begin} to {end}" for begin, end in merged[:8])
    more = f" and {len(merged) - 8} more spans" if len(merged) > 8 else ""
    fill = stored.array.fill_value
    read = "black frames" if camera and not fill else fill
    yield (
        f"chunks of {stored.name} that are not there (all zero, or lost): rows {said}{more} are "
        f"read as {read}"
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    arrays: Mapping[str, _Stored]
    ends: np.ndarray
    camera: str
    actions: tuple[str, ...]
    states: tuple[str, ...]
    columns: Sequence[str]
    words: list[str] | None
    told: Mapping[str, Any]
    foreign: Sequence[dict[str, Any]]
    converted: set[str] = field(default_factory=set)

    def recording(self, number: int, begin: int, end: int) -> EpisodeColumns:
        if begin == end:
            raise InvalidEpisode(f"episode {number} has no row")
        said = self._said(number)
        foreign = self.foreign[number] or None
        values = {name: self.arrays[name].rows(begin, end) for name in self.columns}
        found = make_columns(
            str(said.get("episode", f"episode {number}")),
            FrameSource(partial(self._frames, begin, end)),
            self._joined(self.actions, begin, end),
            closed=False,
            fps=said.get("fps"),
            states=self._joined(self.states, begin, end) if self.states else None,
            texts=self._texts(begin, end),
            about=said["about"] if said.get("about") else foreign,
            rewards=values.get("reward"),
            terminated=values.get("terminated"),
            truncated=values.get("truncated"),
            seeds=values.get("seed"),
            latency=values.get("latency"),
            success=values.get("success"),
        )
        kept = self.told.get("last_observation") == "keep" and len(found) > 1
        return without_last_row(found) if kept else found

    def _said(self, number: int) -> Mapping[str, Any]:
        episodes = self.told.get("episodes", [])
        if episodes and len(episodes) != len(self.ends):
            raise InvalidEpisode(
                f"the attribute chronosim names {len(episodes)} episodes, but there are "
                f"{len(self.ends)}"
            )
        said = episodes[number] if episodes else {}
        return said if isinstance(said, Mapping) else {}

    def _joined(self, names: Sequence[str], begin: int, end: int) -> np.ndarray:
        parts = [self.arrays[name].rows(begin, end) for name in names]
        if len(parts) == 1:
            return parts[0]
        for name, part in zip(names, parts, strict=True):
            if part.dtype.kind not in "biuf":
                raise InvalidEpisode(f"{name} is {part.dtype}, and only numbers can be joined")
        return np.concatenate([by_row(part) for part in parts], 1)

    def _texts(self, begin: int, end: int) -> list[str] | None:
        if self.words is None:
            return None
        values = self.arrays["text"].rows(begin, end).reshape(-1).tolist()
        if not self.words:
            return [str(value) for value in values]
        for row, word in enumerate(values, begin):
            if not 0 <= word < len(self.words):
                raise InvalidEpisode(
                    f"text at row {row} is {word}, but there are {len(self.words)} texts"
                )
        return [self.words[word] for word in values]

    def _frames(self, begin: int, end: int) -> Iterator[Frame]:
        """A chunk at a time."""
        stored, maker = self.arrays[self.camera], FrameMaker(self.camera, self.converted)
        step = stored.array.chunks[0]
        for first in range(begin - begin % step, end, step):
            at = max(begin, first)
            yield from maker(stored.rows(at, min(first + step, end)), row=at)


@dataclass(slots=True)
class _Stored:
    """An array of rows, of which the chunks last read are kept."""

    array: Any
    files: _Files
    begin: int = 0
    block: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return int(self.array.shape[0])

    @property
    def name(self) -> str:
        return str(self.array.path)

    @property
    def kind(self) -> str:
        return f"{self.array.dtype} {self.array.shape}"

    @property
    def is_camera(self) -> bool:
        return picture_kind(self.array.shape[1:], self.array.dtype) == "colour"

    @property
    def is_column(self) -> bool:
        """Whether it has one value a row."""
        return prod(self.array.shape[1:]) == 1 and self.array.dtype.kind in "biufUTO"

    def rows(self, begin: int, end: int) -> np.ndarray:
        """Reads rows.

        Raises:
            InvalidEpisode: A chunk is damaged, or larger than any that is meant.
        """
        if begin < self.begin or end > self.begin + len(self.block):
            step = self.array.chunks[0]
            first, last = begin - begin % step, min(end + -end % step, len(self))
            size = self.array.dtype.itemsize
            most = max(prod(self.array.chunks), (last - first) * prod(self.array.shape[1:])) * size
            if most > _MOST:
                raise InvalidEpisode(
                    f"{self.name} asks for {most / 1e9:.0f} GB at once, for rows {begin} to {end}"
                )
            try:
                self._check_chunks(first, last)
                self.block, self.begin = np.asarray(self.array[first:last]), first
            except InvalidEpisode:
                raise
            except Exception as error:  # damaged bytes may fail anywhere in the codecs
                raise InvalidEpisode(
                    f"rows {first} to {last - 1} of {self.name} cannot be read: {first_line(error)}"
                ) from error
        return self.block[begin - self.begin : end - self.begin]

    def _check_chunks(self, first: int, last: int) -> None:
        """Looks at the chunks of rows before they are decoded."""
        outer = self.files.outer.get(self.name)
        if outer not in _TRUSTING:
            return
        grid = self.array.chunks
        most = 8 * prod(grid) * self.array.dtype.itemsize + 1024  # filters may have widened numbers
        counts = [-(-size // step) for size, step in zip(self.array.shape, grid, strict=True)]
        rows = range(first // grid[0], -(-last // grid[0]))
        for cell in product(rows, *map(range, counts[1:])):
            name = f"{self.name}/{self.array.metadata.encode_chunk_key(cell)}"
            if name in self.files.names and not _is_whole(self.files.content(name), outer, most):
                raise InvalidEpisode(
                    f"rows {first} to {last - 1} of {self.name} cannot be read: the chunk {name} "
                    "is cut off or damaged"
                )

    def absent(self, rows: int) -> tuple[list[int], int]:
        """Says along the axis of rows which chunks have parts that are no files, and of how many.

        Raises:
            InvalidEpisode: There are far more chunks than files.
        """
        grid = self.array.shards or self.array.chunks
        counts = [-(-size // step) for size, step in zip(self.array.shape, grid, strict=True)]
        counts[0] = -(-rows // grid[0])
        prefix, total = f"{self.name}/", prod(counts)
        if total > sum(name.startswith(prefix) for name in self.files.names) + 1_000_000:
            raise InvalidEpisode(f"{self.name} has {total:,} chunks, nearly all of them missing")
        key = self.array.metadata.encode_chunk_key
        cells = (
            cell
            for cell in product(*map(range, counts))
            if prefix + key(cell) not in self.files.names
        )
        return sorted({cell[0] for cell in cells}), counts[0]


_TRUSTING = ("blosc", "gzip", "zlib", "bz2")
"""Codecs that believe whatever a chunk says of its length."""


def _is_whole(content: bytes, codec: str, most: int) -> bool:
    """Whether a chunk can be decoded, into no more bytes than its array can ask for.

    Blosc reads beyond the end of a chunk that was cut off, and gives what lies there in memory;
    the others go on for as long as a few kilobytes of zeros tell them to.
    """
    if codec == "blosc":
        decoded, length = (int.from_bytes(content[at : at + 4], "little") for at in (4, 12))
        return length == len(content) and decoded <= most
    if codec == "bz2":
        return len(bz2.BZ2Decompressor().decompress(content, most + 1)) <= most
    return len(zlib.decompressobj(47).decompress(content, most + 1)) <= most


def _stored(root: zarr.Group, part: str, files: _Files) -> dict[str, _Stored]:
    """The arrays of `data` or `meta` that have rows."""
    source = files.source
    try:
        group = root[part]
        arrays = dict(group.arrays()) if isinstance(group, zarr.Group) else {}
    except KeyError as error:
        raise InvalidEpisode(f"{source} is no replay buffer: it has no {part}") from error
    except Exception as error:  # whatever is wrong with metadata fails somewhere in zarr
        raise InvalidEpisode(
            f"the arrays of {source}/{part} cannot be opened: {first_line(error)}"
        ) from error
    return {name: _Stored(array, files) for name, array in arrays.items() if array.ndim}


_CODECS = {
    *("adler32", "astype", "bitround", "blosc", "bz2", "crc32", "delta", "fixedscaleoffset"),
    *("fletcher32", "gzip", "lz4", "lzma", "packbits", "quantize", "shuffle", "zlib", "zstd"),
    *("vlen-utf8", "bytes", "transpose", "crc32c", "sharding_indexed"),
}
"""Codecs that only compress and filter. numcodecs has others; one of them unpickles."""


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of a group, none of which leads out of it.

    Attributes:
        source: The group, a folder or a zip.
        names: Of all files, relative to it.
        archive: The zip.
        outer: By array, the codec that was applied last to each chunk, which is a file.
    """

    source: Path
    names: frozenset[str]
    archive: zipfile.ZipFile | None
    outer: dict[str, str] = field(default_factory=dict)

    def content(self, name: str) -> bytes:
        """Reads a file.

        Raises:
            InvalidEpisode: It cannot be read.
        """
        try:
            if self.archive is None:
                return (self.source / name).read_bytes()
            return self.archive.read(name)
        except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise InvalidEpisode(f"{self.source}/{name} cannot be read: {error}") from error


_TOLD = (".zgroup", ".zarray", ".zattrs", ".zmetadata", "zarr.json")  # read whole, by zarr
_LARGEST_TOLD = 2**24  # bytes


def open_guarded(source: Path) -> tuple[zarr.Group, _Files]:
    """Opens a Zarr group, a folder or a zip, for reading.

    Raises:
        EpisodeNotFound: There is no such group.
        InvalidEpisode: It holds Python objects, uses a codec that is not known to be harmless, or
            is an archive with paths that lead out of it.
        MissingDependency: A codec's library is not installed.
    """
    files = _files_of(source)
    version: Literal[2, 3] = 2 if ".zgroup" in files.names else 3
    if not files.names & {".zgroup", "zarr.json"}:
        lacks = ".zgroup of Zarr v2 nor zarr.json of Zarr v3"
        advice = _advice(source, files.names)
        raise other_format(source, "diffusion_policy data set", lacks, advice)
    for name in sorted(files.names):
        array, _, leaf = name.rpartition("/")
        if leaf in (".zarray", "zarr.json"):
            content = files.content(name)
            ids = _check_array(f"{source}/{name}", content, 2 if leaf == ".zarray" else 3)
            if ids and "sharding_indexed" not in ids:
                files.outer[array] = ids[-1].removeprefix("numcodecs.")
    try:
        store = LocalStore(source, read_only=True) if files.archive is None else ZipStore(source)
        return zarr.open_group(store, mode="r", zarr_format=version, use_consolidated=False), files
    except Exception as error:  # whatever is wrong with metadata fails somewhere in zarr
        raise InvalidEpisode(
            f"{source} cannot be opened as a Zarr group: {first_line(error)}"
        ) from error


def _advice(source: Path, files: frozenset[str]) -> str:
    """Says what to do about a source that is no group: one level too high, or another format."""
    inside = sorted(
        name.rpartition("/")[0]
        for name in files
        if name.count("/") == 1 and name.endswith(("/.zgroup", "/zarr.json"))
    )
    zips = sorted(name for name in files if name.endswith(".zarr.zip"))
    if not inside and not zips:
        return "name its format="
    if source.is_dir():
        return f"name what lies in it, {source / (inside + zips)[0]}"
    return f"unpack it, and name {(inside + zips)[0]} of it"


def _files_of(source: Path) -> _Files:
    if source.is_dir():
        root, names = source.resolve(), []
        for path in source.rglob("*"):
            try:
                leads_out = path.is_symlink() and not path.resolve().is_relative_to(root)
            except (OSError, RuntimeError) as error:  # a link to itself
                raise InvalidEpisode(f"{path} is a link that leads nowhere: refused") from error
            if leads_out:
                raise InvalidEpisode(f"{path} is a link out of {source}: refused")
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise InvalidEpisode(f"{path} is no plain file: refused")
            if path.name in _TOLD and path.is_file() and path.stat().st_size > _LARGEST_TOLD:
                raise InvalidEpisode(f"{path} holds more than {_LARGEST_TOLD:,} bytes: refused")
            names.append(path.relative_to(source).as_posix())
        return _Files(source, frozenset(names), None)
    check_not_pointer(source)
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InvalidEpisode(f"{source} is neither a folder nor a zip: {error}") from error
    for name in archive.namelist():
        if ".." in PurePosixPath(name).parts or name.startswith(("/", "\\")):
            raise InvalidEpisode(f"{source} holds {name!r}, which leads out of it: refused")
    return _Files(source, frozenset(archive.namelist()), archive)


def _check_array(name: str, content: bytes, version: int) -> list[str]:
    """Refuses an array that could run code, and names its codecs as they were applied."""
    try:
        described = json.loads(content)
        if version == 3 and described["node_type"] == "group":
            return []
        dtype = described["dtype" if version == 2 else "data_type"]
        ids = [str(codec) for codec in _codecs(described)]
        chunks = described["chunks"] if version == 2 else _grid(described)
        sizes = [*described["shape"], *chunks]
        whole = all(type(size) is int and size >= 0 for size in sizes) and 0 not in chunks
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidEpisode(
            f"{name} is no description of an array ({type(error).__name__}: {error})"
        ) from error
    if not whole:
        raise InvalidEpisode(f"{name} must have shapes of whole numbers, not {sizes}")
    if _holds_objects(dtype) and (isinstance(dtype, list) or "vlen-utf8" not in ids):
        raise InvalidEpisode(
            f"{name} holds Python objects, which may be pickles that run any code: refused"
        )
    for found in ids:
        plain = found.removeprefix("numcodecs.")
        if plain.startswith("imagecodecs_"):
            _register_imagecodecs(found)
        elif plain not in _CODECS:
            raise InvalidEpisode(f"{name} uses the codec {found!r}, not known to be safe: refused")
    return ids


def _codecs(described: Mapping[str, Any]) -> Iterator[Any]:
    """Names of the codecs of an array as they were applied, and of those inside shards."""
    if "compressor" in described or "filters" in described:  # Zarr v2
        for codec in [*(described.get("filters") or []), described.get("compressor")]:
            if codec is not None:
                yield codec["id"]
    for part in ("codecs", "index_codecs", "storage_transformers"):  # Zarr v3
        for codec in described.get(part) or []:
            yield codec["name"]
            yield from _codecs(codec.get("configuration") or {})


def _grid(described: Mapping[str, Any]) -> list[Any]:
    return list(described["chunk_grid"]["configuration"]["chunk_shape"])


def _register_imagecodecs(codec: str) -> None:
    """Makes UMI's JPEG XL, and others, known to numcodecs."""
    try:
        import_module("imagecodecs.numcodecs").register_codecs(verbose=False)
    except ImportError as error:
        raise MissingDependency(
            f"the codec {codec!r} needs imagecodecs: pip install imagecodecs"
        ) from error


def _holds_objects(dtype: Any) -> bool:
    """Whether a dtype, which may be a list of named ones, has objects in it."""
    if isinstance(dtype, list):
        return any(_holds_objects(part[1]) for part in dtype)
    return str(dtype).lstrip("|<>=").startswith("O")
