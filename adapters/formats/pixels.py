"""Pictures as data sets store them, made frames: RGB, 8 bits a channel, channels last.

Grey, RGBA, channels before rows, floats from 0 to 1 and other whole numbers from 0 to 255 are
converted, and what was converted is noted for the import's report. What has no one reading (depth,
16 bits a channel, values below 0) is refused with what was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from chronosim.errors import InvalidFrame
from chronosim.types import Frames

_CHANNELS = {1: "grey", 3: "RGB", 4: "RGBA"}
_SMALLEST = 8  # pixels a side; a smaller array is rather a matrix than a picture


def picture_kind(shape: Sequence[int], dtype: np.dtype) -> Literal["colour", "depth"] | None:
    """Tells from what one row holds whether it is a picture.

    Args:
        shape: Of one row, without the axis of rows.
        dtype: Of its values.

    Returns:
        `colour`: `FrameMaker` makes a frame of it; `depth`: one channel of floats or of 16 bits
        and more; None: no picture.
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "uif" or len(shape) not in (2, 3):
        return None
    if dtype == np.uint8 and len(shape) == 3 and shape[-1] == 3:
        return "colour"
    axis = _channel_axis(shape)
    sides = [size for at, size in enumerate(shape) if at != axis]
    if len(sides) != 2 or min(sides) < _SMALLEST:
        return None
    if axis is None or shape[axis] == 1:
        return "colour" if dtype == np.uint8 else "depth"
    return "colour"


def _channel_axis(shape: Sequence[int]) -> int | None:
    """The axis of a picture's channels: the last, where both ends could be; None: neither."""
    if len(shape) != 3:
        return None
    return next((axis for axis in (2, 0) if shape[axis] in _CHANNELS), None)


@dataclass(slots=True)
class FrameMaker:
    """Makes frames of the stored pictures of one camera, all stored alike.

    Attributes:
        camera: The camera's name, for errors and notes.
        notes: Gets what was converted, in the words of a report.
        unit: Whether floats are from 0 to 1 rather than to 255: as the first that are not black
            say; None: not known yet.
    """

    camera: str
    notes: set[str] = field(default_factory=set)
    unit: bool | None = None

    def __call__(self, pictures: np.ndarray, *, row: int = 0) -> Frames:
        """Makes frames.

        Args:
            pictures: (n, height, width), (n, height, width, channels) or (n, channels, height,
                width) with 1, 3 or 4 channels: whole numbers from 0 to 255, or floats that are
                such or lie from 0 to 1.
            row: Row of the first of them, for errors.

        Raises:
            InvalidFrame: They have another shape, or values that no frame has.
        """
        shape, done = pictures.shape[1:], []
        axis = _channel_axis(shape)
        if len(shape) == 2:
            pictures, axis = pictures[..., None], 2
        elif axis is None:
            raise self._refused(row, f"{_described(pictures)}: a frame has rows, columns and RGB")
        elif axis == 0:
            pictures = np.moveaxis(pictures, 1, -1)
            done.append("channels before rows")
        values = pictures if pictures.dtype == np.uint8 else self._bytes(pictures, row, done)
        channels = values.shape[-1]
        if channels != 3:
            done.append(_CHANNELS[channels] + (" over white" if channels == 4 else ""))
            values = _over_white(values) if channels == 4 else values.repeat(3, -1)
        if done:
            self.notes.add(f"{' and '.join(done)} to RGB frames (camera {self.camera})")
        return np.ascontiguousarray(values)

    def _bytes(self, pictures: np.ndarray, row: int, done: list[str]) -> np.ndarray:
        """Values from 0 to 255, of whole numbers or of floats."""
        if pictures.dtype.kind not in "uif":
            raise self._refused(row, f"{_described(pictures)}, not numbers from 0 to 255")
        low, high = (pictures.min(), pictures.max()) if pictures.size else (0, 0)
        if not (low >= 0 and high <= 255):  # NaN is neither
            raise self._refused(row, f"{_described(pictures)} from {low} to {high}, not 0 to 255")
        if pictures.dtype.kind != "f":
            done.append(f"{pictures.dtype} from 0 to 255")
            return pictures.astype(np.uint8)
        if self.unit is None and high > 0:
            self.unit = bool(high <= 1)
        done.append(f"floats from 0 to {1 if self.unit else 255}")
        made = np.rint(pictures * (255 if self.unit else 1))
        if (high > 1) if self.unit else (made != pictures).any():
            raise self._refused(
                row, f"floats from {low:g} to {high:g}, neither all from 0 to 1 nor all whole"
            )
        return made.astype(np.uint8)

    def _refused(self, row: int, found: str) -> InvalidFrame:
        return InvalidFrame(f"the camera {self.camera} at row {row} holds {found}")


def _over_white(values: np.ndarray) -> np.ndarray:
    colours, cover = values[..., :3], values[..., 3:].astype(np.uint16)
    if (cover == 255).all():
        return colours
    return ((colours * cover + 255 * (255 - cover) + 127) // 255).astype(np.uint8)


def _described(pictures: np.ndarray) -> str:
    return f"pictures of {pictures.dtype} and shape {pictures.shape[1:]}"
