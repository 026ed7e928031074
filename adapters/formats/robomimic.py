"""Writes and reads robomimic's HDF5, without robomimic."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import InvalidAction, InvalidConfig, InvalidEpisode
from chronosim.formats.columns import CONTENTS, EpisodeColumns, FrameSource, make_columns
from chronosim.formats.exporting import alike, provenance
from chronosim.formats.hdf5 import create_hdf5, h5py, open_guarded
from chronosim.formats.importing import Contents
from chronosim.formats.safety import camera_of, other_format
from chronosim.types import Frame

FILE = "demos.hdf5"
"""Name of the file in the folder of an export."""

_GYM = 2  # robomimic's EnvType.GYM_TYPE
_BLOCK = 64  # frames written at once


@dataclass(frozen=True, slots=True)
class RobomimicExporter:
    """One file of demonstrations, `demos.hdf5`, for robomimic's `SequenceDataset`.

    Besides what robomimic reads, a demonstration holds `texts`, `seeds`, `terminated`, `truncated`,
    `latency`, and as `about` what made it.

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

    @property
    def holds(self) -> frozenset[str]:
        """What it has a place for."""
        return CONTENTS

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
        words = h5py.string_dtype()
        demo.attrs["num_samples"] = rows
        demo["actions"] = recording.actions
        demo["rewards"] = recording.rewards
        demo["dones"] = (recording.terminated | recording.truncated).astype(np.int64)
        demo["states"] = recording.states[:rows]
        demo.create_dataset("texts", data=list(recording.texts), dtype=words)
        demo.create_dataset("about", data=json.dumps(provenance(recording)), dtype=words)
        for column in ("seeds", "terminated", "truncated", "latency"):
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


_COLUMNS = ("rewards", "dones", "terminated", "truncated", "seeds", "latency")


@dataclass(frozen=True, slots=True)
class RobomimicImporter:
    """A file of demonstrations, or the folder of an export with one in it.

    Attributes:
        camera: Which of `obs/<camera>_image`; None: the only one.
        states: Which low-dimensional observations, joined, are the states.
        flip: Whether the rows of a frame are stored from the bottom, as robosuite draws them.
    """

    camera: str | None = None
    states: Sequence[str] = ("state",)
    flip: bool = False

    def read(self, source: Path) -> Contents:
        """Opens a data set.

        Raises:
            EpisodeNotFound: There is no such file.
            InvalidEpisode: It is no robomimic file, has no such camera, or leads out of itself.
        """
        path = source / FILE if source.is_dir() else source
        if not path.is_file():
            advice = "name the file itself, or its format="
            raise other_format(source, "robomimic data set", FILE, advice)
        with open_guarded(path) as file:
            if "data" not in file or not len(file["data"]):
                raise InvalidEpisode(f"{path} has no demonstrations in data/")
            demos = sorted(file["data"], key=_number)
            first = file["data"][demos[0]]
            if "obs" not in first or "actions" not in first:
                raise InvalidEpisode(f"{path} has demonstrations without obs or actions")
            observed = first["obs"]
            cameras = [name for name in observed if observed[name].ndim == 4]
            camera = camera_of(cameras, self.camera, path)
            states = tuple(name for name in self.states if name in observed)
            unread = sorted(f"the observation {n}" for n in set(observed) - {camera, *states})
            fps = _rate(file["data"].attrs.get("env_args"))
        recordings = [partial(self._recording, path, demo, camera, states, fps) for demo in demos]
        return Contents(recordings, tuple(unread))

    def _recording(
        self, path: Path, name: str, camera: str, states: tuple[str, ...], fps: float | None
    ) -> EpisodeColumns:
        with h5py.File(path, "r") as file:
            demo = file["data"][name]
            closed = "next_obs" in demo and camera in demo["next_obs"]
            columns = {key: np.asarray(demo[key]) for key in _COLUMNS if key in demo}
            texts = demo["texts"].asstr()[:] if "texts" in demo else None
            about = _about(demo)
            vectors = [_joined(demo, state, closed) for state in states]
            ends = columns.get("terminated", columns.get("dones"))
            return make_columns(
                about.get("episode", name),
                FrameSource(partial(_frames, path, name, camera, closed, self.flip)),
                np.asarray(demo["actions"]),
                closed=closed,
                fps=about.get("fps", fps),
                states=np.concatenate(vectors, 1) if vectors else None,
                texts=None if texts is None else list(texts),
                about=about.get("about"),
                rewards=columns.get("rewards"),
                terminated=None if ends is None else ends.astype(np.bool_),
                truncated=columns.get("truncated"),
                seeds=columns.get("seeds"),
                latency=columns.get("latency"),
            )


def _number(name: str) -> int:
    digits = name.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0


def _rate(env: Any) -> float | None:
    try:
        return float(json.loads(env)["env_kwargs"]["control_freq"])
    except (TypeError, ValueError, KeyError):
        return None


def _about(demo: Any) -> dict[str, Any]:
    try:
        found = json.loads(demo["about"].asstr()[()])
    except (KeyError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _joined(demo: Any, state: str, closed: bool) -> np.ndarray:
    values = np.asarray(demo["obs"][state])
    if closed and state in demo["next_obs"]:
        values = np.concatenate([values, np.asarray(demo["next_obs"][state][-1:])])
    return values.reshape(len(values), -1)


def _frames(path: Path, name: str, camera: str, closed: bool, flip: bool) -> Iterator[Frame]:
    with h5py.File(path, "r") as file:
        demo = file["data"][name]
        pictures = demo["obs"][camera]
        if pictures.dtype != np.uint8 or pictures.shape[-1] != 3:
            raise InvalidEpisode(
                f"{pictures.name} in {path} must be RGB uint8 in its last axis, not "
                f"{pictures.dtype} of shape {pictures.shape}"
            )
        rows = [(pictures, row) for row in range(len(pictures))]
        rows += [(demo["next_obs"][camera], len(pictures) - 1)] if closed else []
        for array, row in rows:
            frame = np.asarray(array[row])
            yield np.ascontiguousarray(frame[::-1]) if flip else frame
