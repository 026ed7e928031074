"""Writes and reads Minari data sets through Minari's own storage, without their environments."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.errors import (
    EpisodeWriteError,
    InvalidAction,
    InvalidConfig,
    InvalidEpisode,
    MissingDependency,
)
from chronosim.formats.columns import (
    CONTENTS,
    EXACT,
    SUCCESS,
    EpisodeColumns,
    FrameSource,
    by_row,
    make_columns,
)
from chronosim.formats.exporting import alike, provenance
from chronosim.formats.hdf5 import open_guarded
from chronosim.formats.importing import Contents
from chronosim.formats.parquet import pa, pq
from chronosim.formats.pixels import FrameMaker, picture_kind
from chronosim.formats.safety import camera_of, first_line, names_of, other_format, read_json
from chronosim.types import Frame

try:
    from minari import __version__ as minari_version
    from minari.data_collector import EpisodeBuffer
    from minari.dataset._storages import get_minari_storage
    from minari.dataset._storages.arrow_storage import (
        _decode_info,
        _decode_space,
        _encode_info,
        _encode_space,
    )
    from minari.dataset.minari_storage import MinariStorage
    from minari.serialization import deserialize_space, serialize_space
except ImportError as error:
    raise MissingDependency(
        "this format needs Minari: pip install 'chronosim[datasets]'"
    ) from error


_SLACK = 50_000_000  # bytes that must be free beyond an episode's
_PART = 64  # rows that are handed on at once

KINDS = ("hdf5", "arrow", "parquet")
"""What Minari stores episodes in."""


@dataclass(frozen=True, slots=True)
class MinariExporter:
    """A Minari data set: observations are a dict of `image` and, where there is one, `state`.

    The words, seeds and latencies are in `infos`; what made the episodes is in the metadata, under
    `chronosim`. Read it with `minari.MinariDataset(output / "data")`, or put the folder where its
    id says below Minari's root.

    Attributes:
        kind: `hdf5`, `arrow` or `parquet`.
        dataset_id: Minari's name for it, ending in a version.
        jpeg: Whether frames of 32 pixels and more are kept as JPEG, which changes them.
        author: Who made it; None: nobody is named.

    Raises:
        InvalidConfig: Another kind.
    """

    kind: str = "hdf5"
    dataset_id: str = "chronosim/episodes-v0"
    jpeg: bool = False
    author: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidConfig(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")

    @property
    def holds(self) -> frozenset[str]:
        """What it has a place for."""
        return (CONTENTS | {SUCCESS}) - ({EXACT} if self.jpeg else set())

    def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
        """Writes recordings into an empty folder; one of them is in memory at a time.

        Raises:
            InvalidAction: Actions are of no kind that Minari has a space for, or the storage
                cannot hold them.
            InvalidEpisode: The episodes are not alike.
        """
        data, spaces, said, steps = folder / "data", _ActionSpace(), [], 0
        storage: Any = None
        for number, recording in enumerate(alike(recordings)):
            space = spaces.include(recording, self.kind)
            if storage is None:
                storage = MinariStorage.new(
                    data,
                    observation_space=_observation_space(recording),
                    action_space=space,
                    data_format=self.kind,
                    jpeg_encoding=self.jpeg,
                )
            buffer = _buffer(recording, number)
            _check_free(folder, buffer)
            if self.kind == "hdf5":
                _check_texts(recording)
                storage.update_episodes([buffer])
            else:
                _write_arrow(storage, space, buffer, self.kind)
            steps += len(recording)
            said.append(provenance(recording) | {"actions": str(recording.actions.dtype)})
        if storage is not None:
            self._describe(storage, spaces.space, said, steps)

    def _describe(
        self, storage: Any, actions: gym.Space[Any], said: list[dict[str, Any]], steps: int
    ) -> None:
        """Writes what is known when all episodes are; Minari itself fixes spaces at the start."""
        named = {} if self.author is None else {"author": {self.author}}
        storage.update_metadata(
            {
                "dataset_id": self.dataset_id,
                "minari_version": minari_version,
                "description": "Episodes exported by chronosim",
                "chronosim": said,
                "total_episodes": len(said),
                "total_steps": steps,
                "dataset_size": float(storage.get_size()),
                **named,
            }
        )
        path = storage.data_path / "metadata.json"
        described = read_json(path) | {"action_space": serialize_space(actions)}
        path.write_text(json.dumps(described), encoding="utf-8")


def _observation_space(recording: EpisodeColumns) -> gym.Space[Any]:
    spaces: dict[str, gym.Space[Any]] = {
        "image": gym.spaces.Box(0, 255, (*recording.size, 3), np.uint8)
    }
    if recording.states.size:
        spaces["state"] = gym.spaces.Box(-np.inf, np.inf, recording.states.shape[1:], np.float32)
    return gym.spaces.Dict(spaces)


@dataclass(slots=True)
class _ActionSpace:
    """The space that the actions of all episodes so far lie in."""

    low: int = 0
    high: int = 0
    letters: frozenset[str] = frozenset("-")
    longest: int = 10_000
    space: gym.Space[Any] = field(default_factory=lambda: gym.spaces.Discrete(1))

    def include(self, recording: EpisodeColumns, kind: str) -> gym.Space[Any]:
        """Widens the space by an episode's actions."""
        actions = recording.actions
        if kind != "hdf5" and not actions[0].size:
            raise InvalidAction(
                f"Arrow holds no actions without a number, as {recording.name} has: use "
                "format.kind=hdf5"
            )
        if actions.dtype.kind == "U":
            self.space = self._words(recording)
        elif actions.dtype.kind == "b" and actions.ndim > 1:
            self.space = gym.spaces.MultiBinary(actions.shape[1:])
        elif actions.ndim == 1 and actions.dtype.kind in "biu":
            self.space = self._discrete(recording)
        else:
            self.space = self._box(recording)
        return self.space

    def _box(self, recording: EpisodeColumns) -> gym.Space[Any]:
        shape, dtype = recording.actions.shape[1:], recording.actions.dtype
        if isinstance(self.space, gym.spaces.Box):
            dtype = np.result_type(self.space.dtype, dtype)
        low, high = (-np.inf, np.inf) if dtype.kind == "f" else _limits(dtype)
        return gym.spaces.Box(low, high, shape, dtype.type)

    def _words(self, recording: EpisodeColumns) -> gym.Space[Any]:
        actions = recording.actions
        words = actions.reshape(-1).tolist()
        self.letters |= frozenset("".join(words))
        self.longest = max(self.longest, *map(len, words), 0)
        text = gym.spaces.Text(self.longest, min_length=0, charset=self.letters)
        if actions.ndim > 2:
            raise InvalidAction(
                f"Minari holds words or vectors of words, but those of {recording.name} are of "
                f"shape {actions.shape[1:]}"
            )
        return text if actions.ndim == 1 else gym.spaces.Tuple([text] * actions.shape[1])

    def _discrete(self, recording: EpisodeColumns) -> gym.Space[Any]:
        self.low = min(self.low, int(recording.actions.min()))
        self.high = max(self.high, int(recording.actions.max()))
        if self.low < -(2**62) or self.high >= 2**62:
            raise InvalidAction(
                f"Minari's ids lie within 62 bits, but those of {recording.name} go from "
                f"{self.low} to {self.high}: export them as vectors of one number"
            )
        return gym.spaces.Discrete(self.high - self.low + 1, start=self.low)


def _limits(dtype: np.dtype) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _check_free(folder: Path, buffer: EpisodeBuffer) -> None:
    """Looks before it leaps: on a full disk, HDF5 crashes when Minari closes its file."""
    needed = sum(array.nbytes for array in buffer.observations.values())
    free = shutil.disk_usage(folder).free
    if free < needed + _SLACK:
        raise EpisodeWriteError(
            f"an episode needs {needed / 1e6:.0f} MB, but the disk has {free / 1e6:.0f} MB left"
        )


def _check_texts(recording: EpisodeColumns) -> None:
    acted = recording.actions.reshape(-1).tolist() if recording.actions.dtype.kind == "U" else []
    for text in (*recording.texts, *acted):
        if "\0" in text:
            raise InvalidEpisode(
                f"HDF5 holds no text with a NUL in it, as {recording.name} has: {text[:80]!r}; use "
                "format.kind=arrow"
            )


def _buffer(recording: EpisodeColumns, number: int) -> EpisodeBuffer:
    rows, actions = len(recording), recording.actions
    images = np.empty((rows + recording.closed, *recording.size, 3), np.uint8)
    for row, frame in enumerate(recording.frames):
        images[row] = frame
    observations: dict[str, Any] = {"image": images}
    if recording.states.size:
        observations["state"] = recording.states
    acted: Any = actions
    if actions.dtype.kind == "U":
        acted = actions.tolist() if actions.ndim == 1 else tuple(actions.T.tolist())
    elif actions.dtype.kind == "b":  # as gymnasium's spaces have them
        acted = actions.astype(np.int8 if actions.ndim > 1 else np.int64)
    return EpisodeBuffer(
        id=number,
        observations=observations,
        actions=acted,
        rewards=recording.rewards,
        terminations=recording.terminated,
        truncations=recording.truncated,
        # Infos have one entry more than actions: the first belongs to the reset.
        infos={
            "text": ["", *recording.texts],
            "seed": [0, *recording.seeds.tolist()],  # lists: Minari cannot decode plain arrays
            "latency": [float("nan"), *recording.latency.tolist()],
            "success": [float("nan"), *recording.success.tolist()],
        },
    )


def _write_arrow(storage: Any, space: gym.Space[Any], buffer: EpisodeBuffer, kind: str) -> None:
    """Writes an episode as Minari's ArrowStorage does.

    Its own way measures the whole data set after each episode, so that 500 short ones took 45 s,
    and hands Parquet the frames in one piece, which it blows up ninefold.
    """
    rows, acted = len(buffer.rewards), buffer.actions
    if isinstance(space, gym.spaces.Box):
        acted = np.asarray(acted, space.dtype)
    columns = {
        "observations": _encode_space(
            storage.observation_space, buffer.observations, jpeg_encoding=storage._jpeg_encoding
        ),
        "actions": _encode_space(space, acted, pad=1),
        "rewards": np.append(buffer.rewards, 0.0),
        "terminations": np.append(buffer.terminations, False),
        "truncations": np.append(buffer.truncations, False),
        "infos": _encode_info(buffer.infos),
    }
    table = pa.Table.from_pydict(columns)
    folder = storage.data_path / str(buffer.id)
    folder.mkdir()
    if kind == "arrow":  # one batch: Minari takes each for an episode
        path = str(folder / "part-0.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_batch(table.to_batches()[0])
    else:
        parts = [table.slice(begin, _PART) for begin in range(0, rows + 1, _PART)]
        pq.write_table(
            pa.concat_tables(parts),
            folder / "part-0.parquet",
            row_group_size=rows + 1,
            use_dictionary=False,
            compression="zstd",
        )
    described = {"id": buffer.id, "total_steps": rows}
    (folder / "metadata.json").write_text(json.dumps(described), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class MinariImporter:
    """A Minari data set whose observations are frames, or a dict or tuple with frames in it.

    It knows no clock (but for one that chronosim wrote): give the conversion a `source_fps`. The
    data set's metadata, an episode's seed and options, and its infos as they were at the end go
    along in the episode's `about`.

    Attributes:
        camera: Which of the observations are the frames, as `pixels.FrameMaker` takes them: a name,
            or several with dots between where dicts lie in one another; None: the only ones.
        state: Which of the observations, joined, are the states; None: `state`, if there is one.
            The name of a dict is that of all in it.
    """

    camera: str | None = None
    state: str | Sequence[str] | None = None

    def read(self, source: Path) -> Contents:
        """Opens a data set.

        Raises:
            EpisodeNotFound: There is none.
            InvalidConfig: A setting is no name.
            InvalidEpisode: Its spaces are known only to an environment, which is not made; it has
                no frames, or lacks what was asked for; or it leads out of itself.
        """
        folder = source / "data" if (source / "data" / "metadata.json").is_file() else source
        if not (folder / "metadata.json").is_file():
            raise other_format(source, "Minari data set", "data/metadata.json")
        metadata = read_json(folder / "metadata.json")
        count = metadata.get("total_episodes")
        if type(count) is not int or count < 1:
            raise InvalidEpisode(f"{source} has no episode: its total_episodes is {count!r}")
        storage = _open(folder, metadata)
        leaves = dict(_leaves(storage.observation_space))
        kinds = {name: str(space) for name, space in leaves.items()}
        cameras = [name for name, space in leaves.items() if _is_camera(space)]
        camera = camera_of(cameras, self.camera, source, kinds)
        states = _states(leaves, self.state, source)
        numbers = _numbers(folder, count)
        said = _episodes_said(metadata, count, source)
        reader = _Reader(storage, leaves, camera, states, said, _foreign(metadata))
        if len(states) > 1:
            reader.converted.add(f"{', '.join(states)} to one vector of states")
        recordings = [partial(reader.recording, number) for number in numbers]
        unread = {f"the observation {name}" for name in set(leaves) - {camera, *states}}
        return Contents(recordings, unread, reader.converted)


def _open(folder: Path, metadata: dict[str, Any]) -> Any:
    """Opens the storage itself: Minari's reader makes an environment where spaces are missing."""
    described = [metadata.get(f"{name}_space") for name in ("observation", "action")]
    if not all(isinstance(space, str) for space in described):
        raise InvalidEpisode(
            f"the spaces of {folder} are known only to its environment, which is not made here"
        )
    kind = metadata.get("data_format", "hdf5")
    if kind not in KINDS:
        raise InvalidEpisode(f"{folder} is of the kind {kind!r}, but {', '.join(KINDS)} are read")
    try:
        observation, action = (deserialize_space(space) for space in described)
    except Exception as error:  # whatever the text says is handed on to Gymnasium's spaces
        raise InvalidEpisode(
            f"the spaces of {folder} cannot be read: {first_line(error)}"
        ) from error
    if kind == "hdf5":
        with open_guarded(folder / "main_data.hdf5"):
            pass
    return get_minari_storage(kind)(
        folder, observation, action, bool(metadata.get("jpeg_encoding", True))
    )


def _numbers(folder: Path, count: int) -> range:
    """Numbers of the episodes that the metadata promise, none of which is missing."""
    if (folder / "main_data.hdf5").is_file():
        with open_guarded(folder / "main_data.hdf5") as file:
            found = sum(name.startswith("episode_") for name in file)
    else:
        found = sum(path.is_dir() and path.name.isdecimal() for path in folder.iterdir())
    if found != count:
        raise InvalidEpisode(f"{folder} says it has {count} episodes, but {found} are there")
    return range(count)


def _leaves(space: gym.Space[Any], name: str = "") -> Iterator[tuple[str, gym.Space[Any]]]:
    """The spaces within a space, with dots between names; one alone is `observations`."""
    if isinstance(space, gym.spaces.Dict | gym.spaces.Tuple):
        parts = space.spaces.items() if isinstance(space, gym.spaces.Dict) else enumerate(space)
        for key, part in parts:
            yield from _leaves(part, f"{name}.{key}" if name else str(key))
    else:
        yield name or "observations", space


def _values(space: gym.Space[Any], found: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """What lies in these spaces, by the same names."""
    if isinstance(space, gym.spaces.Dict | gym.spaces.Tuple):
        parts = space.spaces.items() if isinstance(space, gym.spaces.Dict) else enumerate(space)
        for key, part in parts:
            yield from _values(part, found[key], f"{name}.{key}" if name else str(key))
    else:
        yield name or "observations", found


def _states(leaves: Mapping[str, gym.Space[Any]], asked: Any, source: Path) -> tuple[str, ...]:
    groups = {
        ".".join(name.split(".")[:depth])
        for name in leaves
        for depth in range(1, name.count(".") + 1)
    }
    known = {*leaves, *groups}
    names = names_of(known, asked, ("state",), source, "format.state")
    states = [leaf for name in names for leaf in leaves if f"{leaf}.".startswith(f"{name}.")]
    for name in states:
        if isinstance(leaves[name], gym.spaces.Text | gym.spaces.Graph | gym.spaces.Sequence):
            raise InvalidEpisode(
                f"the observation {name} of {source} is {leaves[name]}, which holds no vector of "
                "numbers: choose other states with format.state=, or none with format.state=[]"
            )
    return tuple(states)


def _episodes_said(metadata: dict[str, Any], count: int, source: Path) -> list[dict[str, Any]]:
    """What an export of ours says of each episode."""
    said = metadata.get("chronosim")
    if not isinstance(said, list):
        return [{}] * count
    if len(said) != count or not all(isinstance(episode, dict) for episode in said):
        raise InvalidEpisode(
            f"the metadata of {source} speak of {count} episodes, but chronosim's of {len(said)}"
        )
    return said


_INFOS = ("text", "seed", "latency", "success")
_SAID = 4000  # characters of what is said, which each episode keeps
_KNOWN = {
    *("observation_space", "action_space", "chronosim", "data_format", "jpeg_encoding"),
    *("total_episodes", "total_steps", "dataset_size"),
}


def _foreign(metadata: dict[str, Any]) -> dict[str, Any]:
    """What others say of the whole data set: JSON values."""
    said = {key: value for key, value in metadata.items() if key not in _KNOWN}
    return {key: value for key, value in said.items() if len(json.dumps(value)) <= _SAID}


@dataclass(frozen=True, slots=True)
class _Reader:
    storage: Any
    leaves: Mapping[str, gym.Space[Any]]
    camera: str
    states: tuple[str, ...]
    said: Sequence[Mapping[str, Any]]
    foreign: Mapping[str, Any]
    converted: set[str] = field(default_factory=set)

    def recording(self, number: int) -> EpisodeColumns:
        found, options = self._found(number)
        observed, rows = self._observed(number, found)
        said, infos = self.said[number], found.get("infos") or {}
        columns = {name: _info(infos, name, rows) for name in _INFOS}
        if columns["success"] is None:
            columns["success"] = _info(infos, "is_success", rows)
            columns["is_success"] = None  # it is read
        vectors = [_vector(name, observed[name]) for name in self.states]
        texts = columns["text"]
        others = {name: values for name, values in _flat(infos) if name not in columns}
        last = {k: v[-1] for k, v in others.items() if len(v) in (rows, rows + 1)}
        last = {key: value for key, value in last.items() if len(json.dumps(value)) <= _SAID}
        foreign = {"metadata": dict(self.foreign), "episode": options, "last_infos": last}
        lost = [f"the info {key}" + ", but for its last value" * (key in last) for key in others]
        return make_columns(
            str(said.get("episode", f"episode {number}")),
            FrameSource(partial(self._frames, observed[self.camera])),
            self._actions(found["actions"], said.get("actions")),
            closed=len(observed[self.camera]) == rows + 1,
            fps=said.get("fps"),
            states=_joined(number, vectors) if vectors else None,
            texts=None if texts is None else [_text(text) for text in texts],
            about=said.get("about") if said else {k: v for k, v in foreign.items() if v},
            lost=lost,
            rewards=np.asarray(found["rewards"]),
            terminated=np.asarray(found["terminations"]),
            truncated=np.asarray(found["truncations"]),
            seeds=_array(columns["seed"]),
            latency=_array(columns["latency"]),
            success=_array(columns["success"]),
        )

    def _observed(self, number: int, found: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """Observations by name, and how many rows there are beside them."""
        try:
            observed = dict(_values(self.storage.observation_space, found["observations"]))
            rows, seen = len(found["rewards"]), len(observed[self.camera])
        except (KeyError, TypeError, IndexError) as error:
            raise InvalidEpisode(
                f"episode {number} of {self.storage.data_path} is not what its spaces say: "
                f"{first_line(error)}"
            ) from error
        if seen not in (rows, rows + 1):
            raise InvalidEpisode(f"episode {number} has {rows} rewards, but {seen} frames")
        return observed, rows

    def _found(self, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """An episode, and what is said of it."""
        try:
            found = _found(self.storage, number)
            [options] = self.storage.get_episode_metadata([number])
            options = json.loads(json.dumps(options, default=lambda value: value.tolist()))
        except Exception as error:  # damaged bytes may fail anywhere in Minari, HDF5 and Arrow
            raise InvalidEpisode(
                f"episode {number} of {self.storage.data_path} is damaged: {first_line(error)}"
            ) from error
        options = {k: v for k, v in options.items() if k not in ("id", "total_steps")}
        return found, options if len(json.dumps(options)) <= _SAID else {}

    def _actions(self, found: Any, dtype: Any) -> np.ndarray:
        parts = list(_values(self.storage.action_space, found))
        if len(parts) == 1 and not isinstance(found, dict | tuple):
            return _as_before(np.asarray(found), dtype)
        if all(len(part) and isinstance(part[0], str) for _, part in parts):
            return np.array([list(part) for _, part in parts], np.str_).T
        self.converted.add(f"{', '.join(name for name, _ in parts)} to one vector of actions")
        return _joined("the actions", [_vector(f"action {name}", part) for name, part in parts])

    def _frames(self, pictures: np.ndarray) -> Iterator[Frame]:
        maker = FrameMaker(self.camera, self.converted)
        for begin in range(0, len(pictures), _PART):
            yield from maker(np.asarray(pictures[begin : begin + _PART]), row=begin)


def _found(storage: Any, number: int) -> dict[str, Any]:
    """Reads an episode; Parquet in parts, for a whole one is blown up fifteenfold on the way."""
    if storage.FORMAT != "parquet":
        [found] = storage.get_episodes([number])
        return dict(found)
    [path] = (storage.data_path / str(number)).glob("*.parquet")
    spaces = {"observations": storage.observation_space, "actions": storage.action_space}
    parts = []
    for batch in pq.ParquetFile(path).iter_batches(batch_size=_PART):
        part = {
            name: _decode_space(space, batch.column(name), jpeg_encoding=storage._jpeg_encoding)
            for name, space in spaces.items()
        }
        part |= {name: batch.column(name).to_numpy(False) for name in _ENDS}
        infos = "infos" in batch.schema.names
        parts.append(part | {"infos": _decode_info(batch.column("infos")) if infos else {}})
    found = _end_to_end(parts)
    # Arrow's columns are as long as the observations: what is not has a last entry of nothing.
    return found | {name: _without_last(found[name]) for name in ("actions", *_ENDS)}


_ENDS = ("rewards", "terminations", "truncations")


def _end_to_end(parts: Sequence[Any]) -> Any:
    """Parts of an episode as one."""
    if isinstance(parts[0], dict):
        return {name: _end_to_end([part[name] for part in parts]) for name in parts[0]}
    if isinstance(parts[0], tuple):
        return tuple(_end_to_end(each) for each in zip(*parts, strict=True))
    if isinstance(parts[0], list):
        return [value for part in parts for value in part]
    return np.concatenate(parts)


def _without_last(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _without_last(value) for name, value in values.items()}
    return tuple(map(_without_last, values)) if isinstance(values, tuple) else values[:-1]


def _as_before(actions: np.ndarray, dtype: Any) -> np.ndarray:
    """Actions of ours in the dtype that they had: a space has none for single bools."""
    try:
        before = actions.astype(np.dtype(dtype)) if isinstance(dtype, str) else actions
    except (TypeError, ValueError):
        return actions
    return before if before.dtype.kind == "U" or np.array_equal(before, actions) else actions


def _vector(name: str, values: Any) -> np.ndarray:
    found = np.asarray(values)
    if found.dtype.kind not in "biuf" or not found.ndim:
        raise InvalidEpisode(f"{name} must hold numbers in each row, not {found.dtype}")
    return by_row(found)


def _joined(what: Any, vectors: Sequence[np.ndarray]) -> np.ndarray:
    lengths = {len(vector) for vector in vectors}
    if len(lengths) > 1:
        raise InvalidEpisode(f"parts of {what} have different lengths: {sorted(lengths)}")
    return np.concatenate(vectors, 1)


def _info(infos: Mapping[str, Any], name: str, rows: int) -> Any:
    """An info of each row: the first of one more belongs to the reset."""
    values = infos.get(name)
    return values[-rows:] if values is not None and np.ndim(values) == 1 and rows else None


def _flat(infos: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, list[Any]]]:
    for key, value in infos.items():
        path = f"{name}.{key}" if name else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, path)
        else:
            values = np.asarray(value)
            yield path, values.tolist() if values.ndim and values.dtype.kind in "biufU" else []


def _array(values: Any) -> np.ndarray | None:
    return None if values is None else np.asarray(values)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _is_camera(space: gym.Space[Any]) -> bool:
    shape, dtype = space.shape or (), space.dtype
    return dtype is not None and picture_kind(shape, np.dtype(dtype)) == "colour"
