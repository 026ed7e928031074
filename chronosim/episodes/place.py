"""Where episodes lie: a folder, or an address that fsspec understands; and which are there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr
from upath import UPath
from zarr.storage import FsspecStore, LocalStore

from chronosim.episodes.layout import SCHEMA
from chronosim.errors import EpisodeNotFound, InvalidEpisode, MissingDependency

__all__ = [
    "Place",
    "array_size",
    "as_place",
    "list_episodes",
    "open_array",
    "open_group",
    "read_attributes",
    "remove",
    "store",
]

Place = Path | UPath
"""A folder on this machine, or one behind a URL such as `s3://bucket/set`; both are used alike."""


def as_place(path: str | Path | UPath) -> Place:
    """Takes a path or a URL for what it is.

    Raises:
        MissingDependency: The URL's kind needs a package that is not installed.
    """
    if isinstance(path, Path):
        return path
    if isinstance(path, str) and "://" not in path:
        return Path(path)
    try:
        if str(path).startswith("s3://"):
            _use_obstore()
        place = UPath(path)
        place.fs  # noqa: B018 - made here, so that what is missing is said here
    except (ImportError, ValueError) as error:
        raise MissingDependency(f"{path} cannot be reached: {error}") from error
    return Path(place.path) if place.protocol in ("", "file", "local") else place


def _use_obstore() -> None:
    """Lets obstore serve `s3://`: one wheel that reads the usual AWS_ variables.

    Raises:
        ImportError: It is not installed.
    """
    try:
        from obstore.fsspec import register
    except ImportError as error:
        raise ImportError("S3 needs obstore: pip install 'chronosim[s3]'") from error
    register("s3")


def store(place: Place) -> LocalStore | FsspecStore:
    """Gives the Zarr store of a place."""
    if isinstance(place, Path):
        return LocalStore(place)
    return FsspecStore.from_url(str(place), storage_options=dict(place.storage_options))


def open_group(place: Place) -> zarr.Group:
    """Opens a group for reading and writing."""
    return zarr.open_group(store(place), mode="r+", use_consolidated=False)


def open_array(place: Place, name: str) -> zarr.Array[Any]:
    """Opens an array for reading.

    Args:
        place: The episode.
        name: The array's path in it.

    Raises:
        InvalidEpisode: There is no such array, or its zarr.json cannot be read.
    """
    try:
        return zarr.open_array(store(place), path=name, mode="r", zarr_format=3)
    except PermissionError:
        raise
    except Exception as error:  # anything may be wrong with a damaged file
        raise InvalidEpisode(f"the array {name} of {place} cannot be opened: {error}") from error


def array_size(place: Place, name: str) -> tuple[int, int]:
    """Reads the height and width of an array of frames, without opening it: for many at once.

    Args:
        place: The episode.
        name: The array's path in it.

    Raises:
        InvalidEpisode: There is no such array, or its zarr.json cannot be read.
    """
    try:
        height, width = json.loads((place / name / "zarr.json").read_bytes())["shape"][1:3]
        return int(height), int(width)
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise InvalidEpisode(f"the array {name} of {place} cannot be opened: {error}") from error


def remove(place: Place) -> None:
    """Removes a file, or a folder and all that is in it; nothing happens if it is not there."""
    if not isinstance(place, Path):
        if place.exists():
            place.fs.rm(place.path, recursive=True)
    elif place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def list_episodes(dataset: str | Path | UPath) -> list[Place]:
    """Gives the episodes of a data set: the folders with a Zarr group in them, by name.

    Args:
        dataset: A folder, or a URL such as `s3://bucket/set` or `memory://set`.

    Raises:
        EpisodeNotFound: There is no such folder, or it is an episode itself.
    """
    root = as_place(dataset)
    if not root.is_dir():
        raise EpisodeNotFound(f"there is no data set at {root}: record one with chronosim record")
    if (root / "zarr.json").is_file():
        raise EpisodeNotFound(f"{root} is an episode, not a data set: its data set is the folder")
    return sorted((path.parent for path in root.glob("[!.]*/zarr.json")), key=lambda one: one.name)


def read_attributes(place: Place) -> Mapping[str, Any]:
    """Reads what an episode says about itself, whatever its schema.

    Raises:
        EpisodeNotFound: There is no episode.
        InvalidEpisode: It is no episode, or what it says cannot be read.
    """
    try:
        attributes = json.loads((place / "zarr.json").read_bytes())["attributes"]
        int(attributes["steps"]), dict(attributes["about"]), attributes["finished"]
        schema = attributes["schema"]
        if schema == SCHEMA:
            str(attributes["data"])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise EpisodeNotFound(f"there is no episode at {place}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidEpisode(f"{place} is no episode: its zarr.json cannot be read") from error
    if type(schema) is not int or schema < 1:
        raise InvalidEpisode(
            f"{place} is no episode: its schema is {schema!r}, not a whole number from 1 on"
        )
    return attributes
