"""Foreign HDF5 files opened safely, and HDF5 files written so that a full disk is survived."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import ChronosimError, EpisodeNotFound, InvalidEpisode, MissingDependency
from chronosim.formats.columns import by_row
from chronosim.formats.safety import check_not_pointer, first_line

__all__ = [
    "attributes",
    "check_hdf5",
    "create_hdf5",
    "h5py",
    "open_guarded",
    "read_joined",
    "read_rows",
    "text_array",
    "unwritten",
]

try:
    import h5py
except ImportError as error:
    raise MissingDependency("this format needs h5py: pip install 'chronosim[datasets]'") from error

_MOST = 2 << 30  # bytes read at once


@contextmanager
def open_guarded(path: Path, *, again: bool = False) -> Iterator[Any]:
    """Opens a file for reading, and checks all that is in it.

    Args:
        path: The file.
        again: Whether it was checked before.

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: It is no HDF5, was never closed, `check_hdf5` refuses it, or HDF5 fails
            while it is open, as damaged bytes make it.
    """
    if not path.is_file():
        raise EpisodeNotFound(f"there is no {path}")
    check_not_pointer(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InvalidEpisode(f"{path} cannot be opened as HDF5: {error}") from error
    with file:
        try:
            if not again:
                check_hdf5(file, path)
            yield file
        except ChronosimError:
            raise
        except (OSError, RuntimeError, KeyError, RecursionError, TypeError) as error:
            raise InvalidEpisode(f"{path} is damaged: {first_line(error)}") from error


def check_hdf5(group: Any, path: Path, seen: set[int] | None = None) -> None:
    """Refuses whatever leads elsewhere: links to other files, references, data kept outside.

    Raises:
        InvalidEpisode: There is such a thing, or a group that is met twice, as one in itself.
    """
    seen = set() if seen is None else seen
    place = h5py.h5o.get_info(group.id).addr
    if place in seen:
        raise InvalidEpisode(f"{group.name} in {path} is linked to twice: refused")
    seen.add(place)
    for name in group:
        link = group.get(name, getlink=True)
        where = f"{group.name.rstrip('/')}/{name} in {path}"
        if isinstance(link, h5py.ExternalLink):
            raise InvalidEpisode(f"{where} is a link to the file {link.filename!r}: refused")
        if isinstance(link, h5py.SoftLink):
            raise InvalidEpisode(f"{where} is a link to {link.path!r}, which is not followed")
        item = group[name]
        if isinstance(item, h5py.Group):
            check_hdf5(item, path, seen)
        elif isinstance(item, h5py.Dataset):
            _check_array(item, where)


def read_rows(array: Any, begin: int = 0, end: int | None = None) -> np.ndarray:
    """Reads rows of a dataset, as text where it holds strings.

    Raises:
        InvalidEpisode: It has no rows, is damaged, needs a filter that is not there, or asks for
            more memory than any that is meant.
    """
    where = f"{getattr(array, 'name', array)} in {Path(array.file.filename).name}"
    if not isinstance(array, h5py.Dataset) or not array.shape:
        raise InvalidEpisode(f"{where} is no array of rows")
    rows = array.shape[0] if end is None else min(end, array.shape[0]) - begin
    size = rows * prod(array.shape[1:]) * max(array.dtype.itemsize, 1)
    if size > _MOST:
        raise InvalidEpisode(f"{where} asks for {size / 1e9:.0f} GB at once")
    try:
        stored = array.asstr() if h5py.check_string_dtype(array.dtype) is not None else array
        return np.asarray(stored[begin:end])
    except Exception as error:  # damaged bytes may fail anywhere in HDF5 and its filters
        raise InvalidEpisode(f"{where} cannot be read: {first_line(error)}") from error


def read_joined(arrays: Sequence[Any]) -> np.ndarray:
    """Reads arrays, several of which are joined to one vector a row.

    Raises:
        InvalidEpisode: As `read_rows`; or they cannot be joined.
    """
    parts = [read_rows(array) for array in arrays]
    if len(parts) == 1:
        return parts[0]
    if len({len(part) for part in parts}) > 1 or any(p.dtype.kind not in "biuf" for p in parts):
        found = ", ".join(
            f"{array.name} ({part.dtype} {part.shape})"
            for array, part in zip(arrays, parts, strict=True)
        )
        raise InvalidEpisode(f"these arrays cannot be joined to a vector a row: {found}")
    return np.concatenate([by_row(part) for part in parts], 1)


def unwritten(array: Any) -> bool:
    """Whether a part of a dataset was never written, so that it is read as its fill value."""
    if array.chunks is None:
        return bool(array.size and array.id.get_storage_size() == 0)
    chunks = prod(-(-size // step) for size, step in zip(array.shape, array.chunks, strict=True))
    return bool(array.id.get_num_chunks() < chunks)


def attributes(item: Any) -> dict[str, Any]:
    """The attributes of a group or dataset as JSON values; text in JSON is read as JSON."""
    found: dict[str, Any] = {}
    for name in item.attrs:
        try:
            value = item.attrs[name]
        except Exception:  # an attribute of a kind that h5py does not know, or damaged
            continue
        value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
        value = value.decode(errors="replace") if isinstance(value, bytes) else value
        try:
            found[name] = (
                json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value
            )
            json.dumps(found[name])
        except (ValueError, RecursionError):
            found[name] = str(value)
        except TypeError:
            found.pop(name, None)
    return found


def text_array(group: Any, name: str, values: Sequence[str] | str) -> None:
    """Writes text.

    Raises:
        InvalidEpisode: HDF5 cannot hold it: there is a NUL in it.
    """
    for value in [values] if isinstance(values, str) else values:
        if "\0" in value:
            raise InvalidEpisode(f"HDF5 holds no text with a NUL in it, such as {value[:80]!r}")
    data = values if isinstance(values, str) else list(values)
    group.create_dataset(name, data=data, dtype=h5py.string_dtype())


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
