"""Reads robomimic's HDF5, without robomimic.

Source of the layout: robomimic 0.3.0, `robomimic/utils/dataset.py` and its documentation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.adapters.datasets.guard import camera_of, other_format
from chronosim.adapters.datasets.guard_hdf5 import h5py, open_guarded
from chronosim.adapters.datasets.importing import Contents
from chronosim.adapters.datasets.recording import Frames, Recording, make_recording
from chronosim.adapters.datasets.robomimic import FILE
from chronosim.errors import InvalidEpisode
from chronosim.types import Frame

__all__ = ["RobomimicImporter"]

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
        recordings = (self._recording(path, demo, camera, states, fps) for demo in demos)
        return Contents(recordings, len(demos), tuple(unread))

    def _recording(
        self, path: Path, name: str, camera: str, states: tuple[str, ...], fps: float | None
    ) -> Recording:
        with h5py.File(path, "r") as file:
            demo = file["data"][name]
            closed = "next_obs" in demo and camera in demo["next_obs"]
            columns = {key: np.asarray(demo[key]) for key in _COLUMNS if key in demo}
            texts = demo["texts"].asstr()[:] if "texts" in demo else None
            about = _about(demo)
            vectors = [_joined(demo, state, closed) for state in states]
            ends = columns.get("terminated", columns.get("dones"))
            return make_recording(
                about.get("episode", name),
                Frames(partial(_frames, path, name, camera, closed, self.flip)),
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
