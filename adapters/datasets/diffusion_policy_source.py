"""Reads diffusion_policy's replay buffer.

Source of the layout: real-stanford/diffusion_policy, `diffusion_policy/common/replay_buffer.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.adapters.datasets.guard import camera_of
from chronosim.adapters.datasets.guard_zarr import open_guarded
from chronosim.adapters.datasets.importing import Contents
from chronosim.adapters.datasets.last import without_last_row
from chronosim.adapters.datasets.recording import Frames, Recording, make_recording
from chronosim.errors import InvalidEpisode
from chronosim.types import Frame

__all__ = ["DiffusionPolicyImporter"]


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
        recordings = (
            reader.recording(number, int(begin), int(end))
            for number, (begin, end) in enumerate(pairwise([0, *ends]))
        )
        return Contents(recordings, len(ends), tuple(f"the array {name}" for name in unread))


@dataclass(frozen=True, slots=True)
class _Reader:
    name: str
    arrays: dict[str, Any]
    attributes: dict[str, Any]
    camera: str
    action: str
    state: str | None

    def recording(self, number: int, begin: int, end: int) -> Recording:
        said: dict[str, Any] = self.attributes.get("chronosim") or {}
        episode = (said.get("episodes") or {number: {}})[number]
        texts = self.attributes.get("texts")
        words = self._column("text", begin, end)
        found = make_recording(
            str(episode.get("episode", f"episode {number}")),
            Frames(partial(_stored, self.arrays[self.camera], begin, end)),
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
