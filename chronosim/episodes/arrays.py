"""What an episode's arrays hold, read by rows; a missing chunk is told from a dark one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import google_crc32c
import numpy as np
import zarr
from jaxtyping import UInt8
from numcodecs import Zstd
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec
from zarr.core.metadata import ArrayV3Metadata

from chronosim.episodes.layout import Row
from chronosim.episodes.place import Place, array_size, open_array
from chronosim.errors import InvalidEpisode
from chronosim.types import Frames

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


REPAIR = ": chronosim episodes repair keeps what is whole"
"""What helps those who meet damage while they read; who surveys it says what can be kept."""


def read_rows(place: Place, array: zarr.Array[Any], start: int, stop: int) -> np.ndarray:
    """Reads rows `start` to `stop` - 1.

    Args:
        place: The episode.
        array: One of its arrays.
        start: First row.
        stop: Row after the last one.

    Raises:
        InvalidEpisode: A chunk of these rows is damaged, or the array is too short.
    """
    rows = f"rows {start} to {stop - 1} of {array.path} in {place}"
    if array.shape[0] < stop:
        raise InvalidEpisode(f"{rows} are not there: it has {array.shape[0]} rows")
    direct = read_direct(place, array, start, stop)
    if direct is not None:
        return direct
    try:
        return np.asarray(array[start:stop])
    except OSError:  # the disk or the network, not the data
        raise
    except Exception as error:  # damaged bytes may fail anywhere in the codecs
        kind = "do not match their checksum" if "checksum" in str(error) else "cannot be decoded"
        raise InvalidEpisode(f"{rows} {kind}{REPAIR}") from error


def missing_chunks(
    place: Place, array: zarr.Array[Any], start: int, stop: int, width: int | None = None
) -> list[str]:
    """Gives the files that should hold rows `start` to `stop` - 1, but are not there.

    Zarr reads a missing chunk as zeros, so a reader that meets zeros has to ask.

    Args:
        place: The episode.
        array: One of its arrays.
        start: First row.
        stop: Row after the last one.
        width: How much of the second axis counts; None: all of it.
    """
    sizes = array.shards or array.chunks
    shape = (stop, *array.shape[1:]) if width is None else (stop, width, *array.shape[2:])
    ranges = [range(-(-length // size)) for length, size in zip(shape, sizes, strict=True)]
    ranges[0] = range(start // sizes[0], len(ranges[0]))
    keys = (array.metadata.encode_chunk_key(at) for at in product(*ranges))
    return [f"{array.path}/{key}" for key in keys if not (place / array.path / key).is_file()]


_CODECS = [BytesCodec, ZstdCodec, Crc32cCodec]  # as `layout.new_array` has them


def read_direct(
    place: Place, array: zarr.Array[Any], start: int, stop: int
) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    """Reads rows `start` to `stop` - 1 of an array of bytes.

    Args:
        place: The episode.
        array: One of its arrays, at least `stop` rows long.
        start: First row.
        stop: Row after the last one.

    Returns:
        The rows; None where zarr has to read them: from elsewhere, out of shards or in parts of
        rows, and where a chunk is missing or damaged, of which zarr says what is wrong.
    """
    if not isinstance(place, Path) or not _lies_in_whole_rows(array):
        return None
    shape = array.chunks
    rows = np.empty((stop - start, *shape[1:]), np.uint8)
    for number in range(start // shape[0], -(-stop // shape[0])):
        key = array.metadata.encode_chunk_key((number, *[0] * (len(shape) - 1)))
        chunk = _decode(place / array.path / key, shape)
        if chunk is None:
            return None
        first = number * shape[0]
        low, high = max(start, first), min(stop, first + shape[0])
        rows[low - start : high - start] = chunk[low - first : high - first]
    return rows


def _lies_in_whole_rows(array: zarr.Array[Any]) -> bool:
    return (
        array.dtype == np.uint8
        and array.chunks[1:] == array.shape[1:]
        and isinstance(array.metadata, ArrayV3Metadata)
        and [type(codec) for codec in array.metadata.codecs] == _CODECS
    )


def _decode(file: Path, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    """One chunk; None if it is not there, or not as it was written."""
    try:
        data = np.frombuffer(file.read_bytes(), np.uint8)
        if google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:].tobytes(), "little"):
            return None
        values = np.frombuffer(Zstd().decode(data[:-4]), np.uint8)
    except (OSError, ValueError, RuntimeError):
        return None
    return values.reshape(shape) if values.size == prod(shape) else None
