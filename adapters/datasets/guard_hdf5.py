"""Opens a foreign HDF5 file once it is sure that reading it stays in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chronosim.errors import EpisodeNotFound, InvalidEpisode, MissingDependency

try:
    import h5py
except ImportError as error:
    raise MissingDependency("this format needs h5py: pip install 'chronosim[datasets]'") from error

__all__ = ["check_hdf5", "h5py", "open_guarded"]


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
