"""Foreign HDF5 files opened safely, and HDF5 files written so that a full disk is survived."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chronosim.errors import EpisodeNotFound, InvalidEpisode, MissingDependency

__all__ = ["check_hdf5", "create_hdf5", "h5py", "open_guarded"]

try:
    import h5py
except ImportError as error:
    raise MissingDependency("this format needs h5py: pip install 'chronosim[datasets]'") from error


@contextmanager
def open_guarded(path: Path) -> Iterator[Any]:
    """Opens a file for reading, and checks all that is in it.

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: It is no HDF5, was never closed, or `check_hdf5` refuses it.
    """
    if not path.is_file():
        raise EpisodeNotFound(f"there is no {path}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InvalidEpisode(f"{path} cannot be opened as HDF5: {error}") from error
    with file:
        check_hdf5(file, path)
        yield file


def check_hdf5(group: Any, path: Path) -> None:
    """Refuses whatever leads elsewhere: links to other files, references, data kept outside.

    Raises:
        InvalidEpisode: There is such a thing.
    """
    for name in group:
        link = group.get(name, getlink=True)
        where = f"{group.name.rstrip('/')}/{name} in {path}"
        if isinstance(link, h5py.ExternalLink):
            raise InvalidEpisode(f"{where} is a link to the file {link.filename!r}: refused")
        if isinstance(link, h5py.SoftLink):
            raise InvalidEpisode(f"{where} is a link to {link.path!r}, which is not followed")
        item = group[name]
        if isinstance(item, h5py.Group):
            check_hdf5(item, path)
        elif isinstance(item, h5py.Dataset):
            _check_array(item, where)


def _check_array(array: Any, where: str) -> None:
    if array.external or array.is_virtual:
        raise InvalidEpisode(f"{where} keeps its data in other files: refused")
    held = [array.dtype, *(array.dtype[name] for name in array.dtype.names or ())]
    if any(h5py.check_ref_dtype(dtype) is not None for dtype in held):
        raise InvalidEpisode(f"{where} holds references, not data: refused")
    if any(dtype.kind == "V" and dtype.names is None and not dtype.subdtype for dtype in held):
        raise InvalidEpisode(f"{where} holds opaque bytes, not data: refused")


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
