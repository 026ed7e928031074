"""What an episode's arrays hold, read by rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import zarr
from jaxtyping import UInt8

from chronosim.episodes.chunks import REPAIR, missing_chunks, read_rows
from chronosim.episodes.place import Place, array_size, open_array
from chronosim.episodes.rows import Row
from chronosim.errors import InvalidEpisode

__all__ = ["Content", "Stored", "padded"]

Frames = UInt8[np.ndarray, "n height width 3"]
Between = UInt8[np.ndarray, "n time height width 3"]


@runtime_checkable
class Content(Protocol):
    """Rows of an episode, whatever they are kept in: T + 1 frames and rows, T of the rest."""

    def action(self) -> Mapping[str, Any] | None:
        """Dtype and shape of the actions; None before the first step."""
        ...

    def frame_size(self) -> tuple[int, int]:
        """Height and width of the frames, pixels."""
        ...

    def rows(self) -> Sequence[Row]:
        """The records, T + 1."""
        ...

    def frames(self, start: int, stop: int) -> Frames:
        """Observed frames `start` to `stop` - 1."""
        ...

    def between(self, start: int, stop: int) -> Between:
        """What lies between the observations of steps `start` to `stop` - 1.

        As long as the longest of them; zeros after the last frame of a shorter one.
        """
        ...

    def clip(self, step: int) -> bytes:
        """The video of what lies between the observations of a step; empty if there is none."""
        ...


class Stored:
    """An episode of the present schema.

    Args:
        place: The episode.
        attributes: Its attributes.

    Raises:
        InvalidEpisode: From every method, if a chunk that it needs is missing or damaged.
    """

    def __init__(self, place: Place, attributes: Mapping[str, Any]) -> None:
        self._place = place
        self._data = str(attributes["data"])
        self._steps = int(attributes["steps"])
        self._action: Mapping[str, Any] | None = attributes.get("action")
        self._rows: list[Row] | None = None
        self._arrays: dict[str, zarr.Array[Any]] = {}

    def action(self) -> Mapping[str, Any] | None:
        """Dtype and shape of the actions; None before the first step."""
        return self._action

    def frame_size(self) -> tuple[int, int]:
        """Height and width of the frames, pixels; no frame is read."""
        return array_size(self._place, f"{self._data}/frames")

    def rows(self) -> Sequence[Row]:
        """The records, T + 1; read once."""
        if self._rows is None:
            self._rows = self._read_rows()
        return self._rows

    def trust(self, rows: Sequence[Row | None]) -> None:
        """Takes rows that were read one by one; those that cannot be read will not be asked for."""
        self._rows = [row or Row([]) for row in rows]

    def frames(self, start: int, stop: int) -> Frames:
        """Observed frames `start` to `stop` - 1."""
        array = self.array("frames")
        frames = read_rows(self._place, array, start, stop)
        if _dark(frames) and missing_chunks(self._place, array, start, stop):
            raise self._damage(array, start, stop)
        return frames

    def between(self, start: int, stop: int) -> Between:
        """What lies between the observations of steps `start` to `stop` - 1, padded with zeros."""
        steps = range(start, stop)
        lengths = [self.rows()[step + 1].between for step in steps]
        if not any(lengths):
            return np.zeros((len(lengths), 0, *self.array("frames").shape[1:]), np.uint8)
        if any(self.rows()[step + 1].clip for step in steps):
            return padded([self._decoded(step) for step in steps], self.array("frames").shape[1:])
        array = self.array("between")
        if array.shape[1] < max(lengths):
            raise self._damage(array, start, stop)
        between = read_rows(self._place, array, start, stop)[:, : max(lengths)]
        for step, length, frames in zip(steps, lengths, between, strict=True):
            if _dark(frames[:length]) and missing_chunks(
                self._place, array, step, step + 1, length
            ):
                raise self._damage(array, step, step + 1)
        return between

    def clip(self, step: int) -> bytes:
        """The video of what lies between the observations of a step; empty if there is none."""
        length = self.rows()[step + 1].clip
        if not length:
            return b""
        return read_rows(self._place, self.array("clips"), step, step + 1)[0, :length].tobytes()

    def array(self, name: str) -> zarr.Array[Any]:
        """One of the arrays; opened once, and no file stays open."""
        if name not in self._arrays:
            self._arrays[name] = open_array(self._place, f"{self._data}/{name}")
        return self._arrays[name]

    def _read_rows(self) -> list[Row]:
        array = self.array("records")
        texts = read_rows(self._place, array, 0, self._steps + 1)
        try:
            return [Row.loads(str(text)) for text in texts]
        except ValueError as error:
            raise self._damage(array, 0, self._steps + 1, error) from error

    def _decoded(self, step: int) -> Frames:
        from chronosim.episodes.clips import decode_clip  # PyAV: only those who keep videos wait

        row, clip = self.rows()[step + 1], self.clip(step)
        if not clip:
            return np.zeros((0, *self.array("frames").shape[1:]), np.uint8)
        try:
            frames = decode_clip(clip)
        except ValueError as error:
            raise self._damage(self.array("clips"), step, step + 1, error) from error
        if len(frames) != row.between:
            raise self._damage(self.array("clips"), step, step + 1)
        return frames

    def _damage(
        self, array: zarr.Array[Any], start: int, stop: int, error: Exception | None = None
    ) -> InvalidEpisode:
        missing = missing_chunks(self._place, array, start, stop)
        why = f"{missing[0]} is missing" if missing else f"{error or 'it does not fit its length'}"
        return InvalidEpisode(
            f"rows {start} to {stop - 1} of {array.path} in {self._place} are damaged ({why})"
            f"{REPAIR}"
        )


def _dark(frames: np.ndarray) -> bool:
    """Whether a frame is all zeros, as a missing chunk is read."""
    return not all(frame[0].any() or frame.any() for frame in frames)


def padded(clips: Sequence[np.ndarray], shape: tuple[int, ...]) -> Between:
    """Puts frames of several lengths side by side, with zeros after the last of the shorter ones.

    Args:
        clips: uint8 (time, height, width, 3) each; their times may differ, and be 0.
        shape: Of a frame.
    """
    longest = max((len(clip) for clip in clips), default=0)
    whole = np.zeros((len(clips), longest, *shape), np.uint8)
    for row, clip in zip(whole, clips, strict=True):
        row[: len(clip)] = clip
    return whole
