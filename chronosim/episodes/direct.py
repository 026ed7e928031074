"""Reads whole chunks straight from their files, where an array lies in such.

Zarr hands every read to an event loop and every chunk to a thread: for a window of small frames
that takes several times as long as the decoding (and far longer where others use the processor).
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs import Zstd
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec
from zarr.core.metadata import ArrayV3Metadata

from chronosim.episodes.place import Place

__all__ = ["read_direct"]

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
