"""A file for HDF5 to write to, which survives a full disk."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chronosim.adapters.datasets.guard_hdf5 import h5py

__all__ = ["create_hdf5"]


class _Sink(io.FileIO):
    """Keeps the first refusal of the disk to itself: on one, HDF5 crashes when it closes a file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+b")
        self.refusal: OSError | None = None

    def write(self, content: Any, /) -> int:
        if self.refusal is None:
            try:
                written = super().write(content)
                if written == len(content):
                    return written
                self.refusal = OSError("the disk took only a part of what was written")
            except OSError as error:
                self.refusal = error
        return len(content)

    def readinto(self, buffer: Any, /) -> int:
        read = super().readinto(buffer) or 0
        if self.refusal is not None and read < len(buffer):
            buffer[read:] = bytes(len(buffer) - read)  # what the disk did not take
        return len(buffer) if self.refusal is not None else read

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.refusal = self.refusal or error
            return size or 0


@contextmanager
def create_hdf5(path: Path) -> Iterator[Any]:
    """Makes an HDF5 file; closed when it is left.

    Raises:
        OSError: The disk refused something.
    """
    with _Sink(path) as sink:
        with h5py.File(sink, "w", libver="latest") as file:
            yield file
        if sink.refusal is not None:
            raise sink.refusal
