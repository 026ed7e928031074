"""Reads rows of an array, and tells a chunk that is missing or damaged from one that is dark."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import zarr

from chronosim.episodes.direct import read_direct
from chronosim.episodes.place import Place
from chronosim.errors import InvalidEpisode

__all__ = ["REPAIR", "missing_chunks", "read_rows"]

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
