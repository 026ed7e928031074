"""Writes diffusion_policy's replay buffer: a Zarr v2 group of `data/*` and `meta/episode_ends`.

Source of the layout: real-stanford/diffusion_policy, `diffusion_policy/common/replay_buffer.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc

from chronosim.adapters.datasets.exporting import alike, provenance
from chronosim.adapters.datasets.last import LAST, check_last, with_last_row
from chronosim.adapters.datasets.recording import Recording
from chronosim.errors import InvalidAction

__all__ = ["DiffusionPolicyExporter"]

_CHUNK_BYTES = 2_000_000  # as replay_buffer.py's get_optimal_chunks
_HOLDS = {
    "frames",
    "every pixel as it was",
    "states",
    "texts",
    "rewards",
    "whether it terminated",
    "whether it was truncated",
    "seeds",
    "latencies",
    "where it comes from",
}


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
    def holds(self) -> set[str]:
        """What it has a place for."""
        return _HOLDS | ({LAST} if self.last_observation == "keep" else set())

    def write(self, recordings: Iterable[Recording], folder: Path) -> None:
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

    def _columns(self, recording: Recording, texts: dict[str, int]) -> dict[str, np.ndarray]:
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


def _blocks(recording: Recording) -> Iterator[np.ndarray]:
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
