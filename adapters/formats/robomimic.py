"""Writes and reads robomimic's HDF5, without robomimic."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import EpisodeNotFound, InvalidAction, InvalidConfig, InvalidEpisode
from chronosim.formats.columns import (
    CONTENTS,
    SUCCESS,
    EpisodeColumns,
    FrameSource,
    by_row,
    make_columns,
)
from chronosim.formats.exporting import alike, provenance
from chronosim.formats.hdf5 import (
    attributes,
    create_hdf5,
    h5py,
    open_guarded,
    read_joined,
    read_rows,
    text_array,
    unwritten,
)
from chronosim.formats.importing import Contents
from chronosim.formats.pixels import FrameMaker, picture_kind
from chronosim.formats.safety import camera_of, names_of, other_format
from chronosim.types import Frame

FILE = "demos.hdf5"
"""Name of the file in the folder of an export."""

_GYM = 2  # robomimic's EnvType.GYM_TYPE
_BLOCK = 64  # frames written at once


@dataclass(frozen=True, slots=True)
class RobomimicExporter:
    """One file of demonstrations, `demos.hdf5`, for robomimic's `SequenceDataset`.

    Besides what robomimic reads, a demonstration holds `texts`, `seeds`, `terminated`, `truncated`,
    `latency`, `success`, and as `about` what made it.

    Attributes:
        camera: Frames are `obs/<camera>_image`.
        state: States are `obs/<state>`; there is none without a state.

    Raises:
        InvalidConfig: A name is empty or has a slash.
    """

    camera: str = "agentview"
    state: str = "state"

    def __post_init__(self) -> None:
        for name in (self.camera, self.state):
            if not name or "/" in name:
                raise InvalidConfig(f"a name in HDF5 has no slash in it: {name!r}")
        if self.state == f"{self.camera}_image":
            raise InvalidConfig(f"camera and state must have two names, not both {self.state!r}")

    @property
    def holds(self) -> frozenset[str]:
        """What it has a place for."""
        return CONTENTS | {SUCCESS}

    def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
        """Writes recordings into an empty folder.

        Raises:
            InvalidAction: The actions are not vectors of numbers.
            InvalidEpisode: The episodes are not alike.
        """
        with create_hdf5(folder / FILE) as file:
            data, total, fps = file.create_group("data"), 0, None
            for number, recording in enumerate(alike(recordings)):
                if recording.actions.dtype.kind not in "biuf" or recording.actions.ndim != 2:
                    raise InvalidAction(
                        f"robomimic's actions are vectors of numbers, but those of "
                        f"{recording.name} are {recording.actions.dtype} of shape "
                        f"{recording.actions.shape[1:]}"
                    )
                self._write(data.create_group(f"demo_{number}"), recording)
                total, fps = total + len(recording), recording.fps
            kwargs = {} if fps is None else {"control_freq": fps}
            env = {"env_name": "chronosim", "type": _GYM, "env_kwargs": kwargs}
            data.attrs["total"], data.attrs["env_args"] = total, json.dumps(env)

    def _write(self, demo: Any, recording: EpisodeColumns) -> None:
        rows, name = len(recording), f"{self.camera}_image"
        demo.attrs["num_samples"] = rows
        demo["actions"] = recording.actions
        demo["rewards"] = recording.rewards
        demo["dones"] = (recording.terminated | recording.truncated).astype(np.int64)
        demo["states"] = recording.states[:rows]
        text_array(demo, "texts", recording.texts)
        text_array(demo, "about", json.dumps(provenance(recording)))
        for column in ("seeds", "terminated", "truncated", "latency", "success"):
            demo[column] = getattr(recording, column)
        observed, after = demo.create_group("obs"), demo.create_group("next_obs")
        if recording.states.size:
            observed[self.state], after[self.state] = recording.states[:-1], recording.states[1:]
        shape = (rows, *recording.size, 3)
        kept = {"dtype": np.uint8, "chunks": (1, *shape[1:]), "compression": "gzip"}
        for group, skipped in ((observed, 0), (after, 1)):
            pictures = group.create_dataset(name, shape, compression_opts=1, **kept)
            frames = islice(iter(recording.frames), skipped, skipped + rows)
            for begin in range(0, rows, _BLOCK):
                block = list(islice(frames, _BLOCK))
                pictures[begin : begin + len(block)] = np.stack(block)


_COLUMNS = ("rewards", "dones", "terminated", "truncated", "seeds", "latency", "success")
_OURS = ("texts", "about", *_COLUMNS)
_SAID = 4000  # characters of what is said of an episode, which each keeps


@dataclass(frozen=True, slots=True)
class RobomimicImporter:
    """A file of demonstrations, or the folder of an export with one in it.

    What the file says of a demonstration goes along in the episode's `about`: its attributes, the
    masks that it is in (`train`, `valid`), `env_args`.

    Attributes:
        camera: Which of `obs/<camera>_image`, as `pixels.FrameMaker` takes them; None: the only
            one.
        states: Which observations, joined, are the states; None: `state`, if there is one.
        action: Which array holds the actions, or several that are joined.
        flip: Whether the rows of a frame are stored from the bottom, as robosuite draws them.
    """

    camera: str | None = None
    states: str | Sequence[str] | None = None
    action: str | Sequence[str] = "actions"
    flip: bool = False

    def read(self, source: Path) -> Contents:
        """Opens a data set.

        Raises:
            EpisodeNotFound: There is no such file.
            InvalidConfig: A setting is no name.
            InvalidEpisode: It is no robomimic file, lacks what was asked for, or leads out of
                itself.
        """
        path = source / FILE if source.is_dir() else source
        if not path.is_file():
            advice = "name the file itself, or its format="
            if (inside := sorted(source.glob("*.hdf5"))) and len(inside) == 1:
                raise EpisodeNotFound(f"{source} has no {FILE}: name the file itself, {inside[0]}")
            raise other_format(source, "robomimic data set", FILE, advice)
        with open_guarded(path) as file:
            data = file.get("data")
            if not isinstance(data, h5py.Group) or not len(data):
                raise InvalidEpisode(f"{path} has no demonstrations in data/")
            demos = sorted(data, key=_number)
            observed = _observed(data[demos[0]])
            kinds = {name: f"{array.dtype} {array.shape}" for name, array in observed.items()}
            cameras = [name for name, array in observed.items() if _is_camera(array)]
            camera = camera_of(cameras, self.camera, path, kinds)
            states = names_of(kinds, self.states, ("state",), path, "format.states")
            actions = names_of(list(data[demos[0]]), self.action, (), path, "format.action")
            said = attributes(data).get("env_args")
            masks = _masks(file.get("mask"))
        reader = _Reader(path, camera, states, actions, self.flip, said, masks)
        recordings = [partial(reader.recording, demo) for demo in demos]
        return Contents(recordings, (), reader.converted)


def _observed(demo: Any) -> dict[str, Any]:
    """The observations of a demonstration.

    Raises:
        InvalidEpisode: There are none.
    """
    observed = demo.get("obs") if isinstance(demo, h5py.Group) else None
    if not isinstance(observed, h5py.Group):
        raise InvalidEpisode(f"{demo.name} in {demo.file.filename} has no obs")
    return {name: item for name, item in observed.items() if isinstance(item, h5py.Dataset)}


def _is_camera(array: Any) -> bool:
    return bool(array.shape) and picture_kind(array.shape[1:], array.dtype) == "colour"


def _masks(group: Any) -> dict[str, frozenset[str]]:
    """Names of the demonstrations in each mask, such as `train`."""
    if not isinstance(group, h5py.Group):
        return {}
    names = {name: read_rows(array).reshape(-1) for name, array in group.items()}
    return {
        name: frozenset(
            demo.decode(errors="replace") if isinstance(demo, bytes) else str(demo)
            for demo in demos.tolist()
        )
        for name, demos in names.items()
    }


@dataclass(frozen=True, slots=True)
class _Reader:
    path: Path
    camera: str
    states: tuple[str, ...]
    actions: tuple[str, ...]
    flip: bool
    env: Any
    masks: Mapping[str, frozenset[str]]
    converted: set[str] = field(default_factory=set)

    def recording(self, name: str) -> EpisodeColumns:
        with open_guarded(self.path, again=True) as file:
            demo = file["data"][name]
            observed = _observed(demo)
            after = demo.get("next_obs")
            closed = isinstance(after, h5py.Group) and self.camera in after
            actions = self._actions(demo)
            columns = {key: read_rows(demo[key]) for key in _COLUMNS if key in demo}
            about = _about(demo)
            self._check(demo, observed, after if closed else None, len(actions))
            vectors = [_joined(observed, after if closed else {}, state) for state in self.states]
            foreign, lost = self._foreign(demo, ours=bool(about))
            ends = columns.get("terminated", columns.get("dones"))
            return make_columns(
                str(about.get("episode", name)),
                FrameSource(partial(self._frames, name, closed=closed)),
                actions,
                closed=closed,
                fps=about.get("fps", _rate(self.env)),
                states=np.concatenate(vectors, 1) if vectors else None,
                texts=_texts(demo),
                about=about.get("about") if about else foreign,
                lost=[*lost, *(f"the observation {key}" for key in self._unread(observed))],
                rewards=columns.get("rewards"),
                terminated=ends,
                truncated=columns.get("truncated"),
                seeds=columns.get("seeds"),
                latency=columns.get("latency"),
                success=columns.get("success"),
            )

    def _actions(self, demo: Any) -> np.ndarray:
        for name in self.actions:
            if name not in demo:
                raise InvalidEpisode(f"{demo.name} has no {name}, its actions")
        if len(self.actions) > 1:
            self.converted.add(f"{', '.join(self.actions)} to one vector of actions")
        return read_joined([demo[name] for name in self.actions])

    def _check(self, demo: Any, observed: Any, after: Any, rows: int) -> None:
        """Holds every array that is read to the number of actions."""
        for place, group in (("obs", observed), ("next_obs", after)):
            for name in () if group is None else (self.camera, *self.states):
                if name not in group and place == "obs":
                    raise InvalidEpisode(f"{demo.name} has no {place}/{name}")
                length = group[name].shape[:1] if name in group else (rows,)
                if length != (rows,):
                    raise InvalidEpisode(
                        f"{demo.name} has {rows} actions, but {place}/{name} has "
                        f"{length[0] if length else 'no'} rows"
                    )

    def _unread(self, observed: Any) -> set[str]:
        return set(observed) - {self.camera, *self.states}

    def _foreign(self, demo: Any, *, ours: bool) -> tuple[dict[str, Any] | None, list[str]]:
        """What others say of a demonstration, as JSON values, and what there is no place for."""
        said: dict[str, Any] = {} if self.env is None else {"env_args": self.env}
        said |= {key: value for key, value in attributes(demo).items() if key != "num_samples"}
        kept = {key: value for key, value in said.items() if len(json.dumps(value)) <= _SAID}
        lost = [f"the attribute {key}" for key in set(said) - set(kept)]
        masks = sorted(mask for mask, demos in self.masks.items() if Path(demo.name).name in demos)
        if masks:
            kept["masks"] = masks
        arrays = set(demo) - {"obs", "next_obs", *_OURS, *self.actions}
        # An export of ours has its states twice, as robomimic has those of its simulator.
        lost += [f"the array {key}" for key in arrays - ({"states"} if ours else set())]
        lost += [f"parts of {n}, which were never written" for n in self._unwritten(demo)]
        return kept or None, lost

    def _unwritten(self, demo: Any) -> list[str]:
        read = [*self.actions, *(f"obs/{name}" for name in (self.camera, *self.states))]
        return [name for name in read if name in demo and unwritten(demo[name])]

    def _frames(self, name: str, *, closed: bool) -> Iterator[Frame]:
        maker = FrameMaker(self.camera, self.converted)
        with open_guarded(self.path, again=True) as file:
            demo = file["data"][name]
            pictures = demo["obs"][self.camera]
            rows = len(pictures)
            spans = [(pictures, at, min(at + _BLOCK, rows)) for at in range(0, rows, _BLOCK)]
            spans += [(demo["next_obs"][self.camera], rows - 1, rows)] if closed else []
            for array, begin, end in spans:
                for frame in maker(read_rows(array, begin, end), row=begin):
                    yield np.ascontiguousarray(frame[::-1]) if self.flip else frame


def _number(name: str) -> tuple[int, str]:
    digits = name.rpartition("_")[2]
    return int(digits) if digits.isdecimal() and len(digits) < 19 else 0, name


def _rate(env: Any) -> float | None:
    try:
        rate = float(env["env_kwargs"]["control_freq"])
    except (TypeError, ValueError, KeyError):
        return None
    return rate if 0 < rate < float("inf") else None


def _about(demo: Any) -> dict[str, Any]:
    try:
        found = json.loads(demo["about"].asstr()[()])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def _texts(demo: Any) -> list[str] | None:
    if "texts" not in demo:
        return None
    texts = read_rows(demo["texts"])
    if texts.ndim != 1 or texts.dtype.kind not in "OUT":
        raise InvalidEpisode(f"{demo.name}/texts must hold a text for each row, not {texts.dtype}")
    return [str(text) for text in texts.tolist()]


def _joined(observed: Any, after: Any, state: str) -> np.ndarray:
    parts = [read_rows(observed[state])]
    if len(after):
        if state not in after:
            raise InvalidEpisode(f"{after.name} has no {state}, which obs has")
        parts.append(read_rows(after[state], len(parts[0]) - 1))
    found = {(part.dtype.kind in "biuf", part.shape[1:]) for part in parts}
    if len(found) > 1 or parts[0].dtype.kind not in "biuf":
        said = " and ".join(f"{part.dtype} {part.shape}" for part in parts)
        raise InvalidEpisode(f"{observed[state].name} must hold numbers, alike after, not {said}")
    values = np.concatenate(parts)
    return by_row(values)
