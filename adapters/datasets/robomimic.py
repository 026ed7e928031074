"""Writes robomimic's HDF5: `data/demo_N` with observations, actions, rewards and ends.

Source of the layout: robomimic 0.3.0, `robomimic/utils/dataset.py` and its documentation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.adapters.datasets.exporting import alike, provenance
from chronosim.adapters.datasets.guard_hdf5 import h5py
from chronosim.adapters.datasets.recording import Recording
from chronosim.adapters.datasets.sink import create_hdf5
from chronosim.errors import InvalidAction, InvalidConfig

__all__ = ["FILE", "RobomimicExporter"]

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
    def holds(self) -> set[str]:
        """What it has a place for."""
        return {
            "frames",
            "every pixel as it was",
            "the last observation",
            "states",
            "texts",
            "rewards",
            "whether it terminated",
            "whether it was truncated",
            "seeds",
            "latencies",
            "where it comes from",
        }

    def write(self, recordings: Iterable[Recording], folder: Path) -> None:
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

    def _write(self, demo: Any, recording: Recording) -> None:
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
