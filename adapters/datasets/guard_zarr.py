"""Opens a foreign Zarr group once it is sure that reading it runs nothing but plain codecs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import zarr
from zarr.storage import LocalStore, ZipStore

from chronosim.adapters.datasets.guard import other_format
from chronosim.errors import InvalidEpisode

__all__ = ["open_guarded"]

_CODECS = {
    *("adler32", "astype", "bitround", "blosc", "bz2", "crc32", "delta", "fixedscaleoffset"),
    *("fletcher32", "gzip", "lz4", "lzma", "packbits", "quantize", "shuffle", "zlib", "zstd"),
}
"""Codecs that only compress and filter. numcodecs has others; one of them unpickles."""


def open_guarded(source: Path) -> zarr.Group:
    """Opens a Zarr v2 group, a folder or a zip, for reading.

    Raises:
        EpisodeNotFound: There is no such group.
        InvalidEpisode: It holds Python objects, uses a codec that is not known to be harmless, or
            is an archive with paths that lead out of it.
    """
    for name, content in _arrays(source):
        _check_array(f"{source}/{name}", content)
    try:
        store = LocalStore(source, read_only=True) if source.is_dir() else ZipStore(source)
        return zarr.open_group(store, mode="r", zarr_format=2, use_consolidated=False)
    except FileNotFoundError as error:
        raise other_format(source, "diffusion_policy data set", ".zgroup of Zarr v2") from error
    except (OSError, ValueError, KeyError) as error:
        raise InvalidEpisode(f"{source} cannot be opened as a Zarr v2 group: {error}") from error


def _arrays(source: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the metadata of every array."""
    if source.is_dir():
        root = source.resolve()
        for path in sorted(source.rglob("*")):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise InvalidEpisode(f"{path} is a link out of {source}: refused")
            if path.name == ".zarray":
                yield path.relative_to(source).as_posix(), path.read_bytes()
        return
    try:
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                if ".." in PurePosixPath(name).parts or name.startswith(("/", "\\")):
                    raise InvalidEpisode(f"{source} holds {name!r}, which leads out of it: refused")
                if name.rpartition("/")[2] == ".zarray":
                    yield name, archive.read(name)
    except zipfile.BadZipFile as error:
        raise InvalidEpisode(f"{source} is neither a folder nor a zip: {error}") from error


def _check_array(name: str, content: bytes) -> None:
    try:
        described = json.loads(content)
        codecs = [described.get("compressor"), *(described.get("filters") or [])]
        ids = [codec["id"] for codec in codecs if codec is not None]
        dtype = described["dtype"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidEpisode(f"{name} is no description of an array: {error}") from error
    if _holds_objects(dtype):
        raise InvalidEpisode(
            f"{name} holds Python objects, which may be pickles that run any code: refused"
        )
    for found in ids:
        if found not in _CODECS and not str(found).startswith("imagecodecs_"):
            raise InvalidEpisode(f"{name} uses the codec {found!r}, not known to be safe: refused")


def _holds_objects(dtype: Any) -> bool:
    """Whether a dtype, which may be a list of named ones, has objects in it."""
    if isinstance(dtype, list):
        return any(_holds_objects(part[1]) for part in dtype)
    return str(dtype).lstrip("|<>=").startswith("O")
