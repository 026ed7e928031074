"""Episodes of schema 1, as chronosim 0.1 wrote them: read as before, written no more.

One array for each column, beside one another in the group: `frames` and `states` (T + 1), `action`,
`between`, `between_length`, `text`, `seed`, `reward`, `terminated`, `truncated`, `latency` (T),
those of the actions and trajectories only if there is a step. Its chunks have no checksum, and a
chunk of zeros was not written. `compact` turns such an episode into one of the present schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from jaxtyping import UInt8

from chronosim.episodes.arrays import read_rows
from chronosim.episodes.layout import Row
from chronosim.episodes.place import Place, array_size, open_array, read_attributes
from chronosim.errors import InvalidEpisode

__all__ = ["StoredSchema1"]

_OF_STEPS = ("action", "text", "seed", "reward", "terminated", "truncated", "latency")


class StoredSchema1:
    """An episode of schema 1; the same methods as `Stored`.

    Args:
        place: The episode.
        attributes: Its attributes.

    Raises:
        InvalidEpisode: From every method, if what it needs is damaged.
    """

    def __init__(self, place: Place, attributes: Mapping[str, Any]) -> None:
        self._place = place
        self._steps = int(attributes["steps"])
        self._rows: list[Row] | None = None
        self._arrays: dict[str, zarr.Array[Any]] = {}

    def action(self) -> Mapping[str, Any] | None:
        """Dtype and shape of the actions; None before the first step."""
        if not self._steps:
            return None
        array = self.array("action")
        dtype = "string" if array.dtype.kind == "T" else str(array.dtype)
        return {"dtype": dtype, "shape": list(array.shape[1:])}

    def frame_size(self) -> tuple[int, int]:
        """Height and width of the frames, pixels; no frame is read."""
        return array_size(self._place, "frames")

    def rows(self) -> Sequence[Row]:
        """The records, T + 1; read once."""
        if self._rows is None:
            self._rows = self._read_rows(0, self._steps + 1)
        return self._rows

    def row(self, index: int) -> Row:
        """One of the rows, where others cannot be read."""
        return self._read_rows(index, index + 1)[0]

    def trust(self, rows: Sequence[Row | None]) -> None:
        """Takes rows that were read one by one; those that cannot be read will not be asked for."""
        self._rows = [row or Row([]) for row in rows]

    def frames(self, start: int, stop: int) -> UInt8[np.ndarray, "n height width 3"]:
        """Observed frames `start` to `stop` - 1."""
        return self._read("frames", start, stop)

    def between(self, start: int, stop: int) -> UInt8[np.ndarray, "n time height width 3"]:
        """What lies between the observations of steps `start` to `stop` - 1, padded with zeros."""
        if start == stop:
            return np.zeros((0, 0, *self.array("frames").shape[1:]), np.uint8)
        longest = max(row.between for row in self.rows()[start + 1 : stop + 1])
        return self._read("between", start, stop)[:, :longest]

    def clip(self, step: int) -> bytes:
        """Nothing: schema 1 kept no videos."""
        return b""

    def array(self, name: str) -> zarr.Array[Any]:
        """One of the arrays; opened once, and no file stays open."""
        if name not in self._arrays:
            self._arrays[name] = open_array(self._place, name)
        return self._arrays[name]

    def _read_rows(self, start: int, stop: int) -> list[Row]:
        states = self._read("states", start, stop).astype(float).tolist()
        if start == 0:
            return [Row(states[0]), *(self._read_rows(1, stop) if stop > 1 else ())]
        names = (*_OF_STEPS, "between_length")
        columns = [self._read(name, start - 1, stop - 1).tolist() for name in names]
        return [
            Row(state, between=length, **dict(zip(_OF_STEPS, values, strict=True)))
            for state, *values, length in zip(states, *columns, strict=True)
        ]

    def _read(self, name: str, start: int, stop: int) -> np.ndarray:
        rows = read_rows(self._place, self.array(name), start, stop)
        # What is missing reads as zeros, as what is zero does: so ask whether it is still there.
        if read_attributes(self._place)["schema"] != 1:
            raise InvalidEpisode(f"{self._place} was rewritten while it was read: open it again")
        return rows
