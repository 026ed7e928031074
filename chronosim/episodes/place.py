"""Where episodes lie: a folder, or an address that fsspec understands; and which are there."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

import numpy as np
import zarr
from upath import UPath
from zarr.storage import FsspecStore, LocalStore

from chronosim.episodes.layout import COMPACT, LIVE, SCHEMA
from chronosim.errors import (
    EpisodeExists,
    EpisodeNotFound,
    InvalidConfig,
    InvalidEpisode,
    MissingDependency,
)
from chronosim.files import read_file

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
    """Gives the Zarr store of a place.

    Raises:
        InvalidConfig: Python runs without its assertions, which zarr's work depends on.
    """
    if not __debug__:
        raise InvalidConfig(
            "zarr cannot keep episodes under python -O or PYTHONOPTIMIZE: run Python without them"
        )
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
        InvalidEpisode: There is no such array, its zarr.json cannot be read, or a pipe or device
            lies where data should, for which reading would wait.
    """
    if isinstance(place, Path) and (odd := _no_files(place / name)):
        raise InvalidEpisode(f"the array {name} of {place} holds {odd[0]}, which is no file")
    try:
        return zarr.open_array(store(place), path=name, mode="r", zarr_format=3)
    except PermissionError:
        raise
    except Exception as error:  # anything may be wrong with a damaged file
        raise InvalidEpisode(f"the array {name} of {place} cannot be opened: {error}") from error


def _no_files(folder: Path) -> list[str]:
    """What lies in a folder and is neither a file nor a folder."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as inside:
        return [one.name for one in inside if not (one.is_file() or one.is_dir())]
    return []


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


def draft_of(path: Path, token: str = "") -> Path:
    """Gives where an episode lies until it is finished.

    Args:
        path: Where it lies then.
        token: 32 hexadecimal digits, where there may be several attempts; "": the only one.
    """
    return path.with_name(f".{path.name}{'.' * bool(token)}{token}.draft")


_P = TypeVar("_P", bound=Place)


def named(place: _P) -> _P:
    """Gives where an episode lies when it is finished: a draft's own name, and any other as is."""
    found = _DRAFT.fullmatch(place.name)
    return cast("_P", place.with_name(found["name"])) if found else place


def drafts(path: Path) -> list[Path]:
    """Gives the attempts at an episode that were begun and are not finished, the latest last."""
    found = [draft for draft in path.parent.glob(f".{escape(path.name)}.*") if named(draft) == path]
    begun = [((draft / "zarr.json").stat().st_mtime_ns, draft) for draft in found if _tells(draft)]
    return [draft for _, draft in sorted(begun)]


def locate(place: Place) -> Place:
    """Gives where an episode lies now: under its name, or else in the latest draft of it."""
    if not isinstance(place, Path) or _tells(place):
        return place
    if place != named(place):  # a draft that was finished in the meantime
        return named(place)
    return next(reversed(drafts(place)), place)


def is_episode(place: Place) -> bool:
    """Whether there is an episode, finished or not, rather than a data set or nothing."""
    return _tells(locate(place))


def _tells(place: Place) -> bool:
    """Whether something says what lies in a folder, readable or not."""
    try:
        return (place / "zarr.json").is_file()
    except PermissionError:
        return True


def give_name(draft: Path, path: Path) -> None:
    """Makes a finished draft the episode.

    Raises:
        EpisodeExists: Another attempt was finished first; this one is removed.
    """
    try:
        draft.rename(path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        discard(draft)
        raise EpisodeExists(
            f"another attempt at {path} was finished first; this one is dropped"
        ) from error


def discard(path: Path) -> None:
    """Removes an episode or a draft; killed half-way, none of it is left under a name that counts.

    Zarr's threads may still end writes begun before: it tries again until all is gone.
    """
    aside = path.with_name(f".{named(path).name}.{uuid4().hex}.dropped")
    with suppress(OSError):  # it may be gone, or its folder be none
        path.rename(aside)
    for _ in range(50):
        for left in (aside, path):
            with suppress(OSError):
                remove(left)
        if not aside.exists() and not path.exists():
            return
        time.sleep(0.01)


_DRAFT = re.compile(r"\.(?P<name>.+?)(?:\.[0-9a-f]{32})?\.draft")
_LEFT = re.compile(r"\..+?(?:\.[0-9a-f]{32})?\.draft|\..+\.[0-9a-f]{32}\.dropped")


def list_episodes(dataset: str | Path | UPath, *, unfinished: bool = False) -> list[Place]:
    """Gives the episodes of a data set: the folders with a Zarr group in them, by name.

    One that has lost its zarr.json, or may not be read, is among them: who opens it is told.

    Args:
        dataset: A folder, or a URL such as `s3://bucket/set` or `memory://set`.
        unfinished: Whether those too that have no name yet, because they are being written or were
            broken off.

    Raises:
        EpisodeNotFound: There is no such folder, it is an episode itself, or it may not be read.
    """
    root = as_place(dataset)
    try:
        if not root.is_dir():
            raise EpisodeNotFound(
                f"there is no data set at {root}: record one with chronosim record"
            )
        if (root / "zarr.json").is_file():
            raise EpisodeNotFound(
                f"{root} is an episode, not a data set: its data set is the folder"
            )
        found = _folders(root, drafts=unfinished)
    except PermissionError as error:
        raise EpisodeNotFound(f"{root} may not be read: permission denied") from error
    return sorted(found, key=lambda one: (named(one).name, one.name))


def _folders(root: Place, *, drafts: bool) -> list[Place]:
    if not isinstance(root, Path):
        return [path.parent for path in root.glob("[!.]*/zarr.json")]
    return [
        path
        for path in root.iterdir()
        if (drafts and _DRAFT.fullmatch(path.name) and _tells(path) and not named(path).exists())
        or (not path.name.startswith(".") and (_tells(path) or _is_beheaded(path)))
    ]


def remains(dataset: Place) -> list[Path]:
    """Gives what killed attempts left in a data set and no reader looks at: it costs only space.

    Attempts that have just begun are among them, so none may be removed while it is written to.

    Args:
        dataset: The data set; behind a URL nothing is looked for.
    """
    if not isinstance(dataset, Path):
        return []
    hidden = (path for path in dataset.iterdir() if _LEFT.fullmatch(path.name))
    return sorted(
        path
        for path in hidden
        if path.name.endswith(".dropped") or named(path).exists() or not _tells(path)
    )


def _is_beheaded(place: Place) -> bool:
    """Whether a folder has an episode's arrays, but nothing that says what they are."""
    return (
        place.is_dir()
        and not (place / "zarr.json").is_file()
        and any(one.name == LIVE or one.name.startswith(COMPACT) for one in place.iterdir())
    )


def read_attributes(place: Place) -> Mapping[str, Any]:
    """Reads what an episode says about itself, whatever its schema.

    Raises:
        EpisodeNotFound: There is no episode.
        InvalidEpisode: It is no episode, or what it says cannot be read.
    """
    try:
        file = place / "zarr.json"
        content = read_file(file) if isinstance(file, Path) else file.read_bytes()
        attributes = json.loads(content)["attributes"]
        int(attributes["steps"]), attributes["about"].items(), attributes["finished"]
        if (action := attributes.get("action")) is not None:
            np.dtype(action["dtype"] if action["dtype"] != "string" else object)
            if not all(type(side) is int and 0 <= side < 2**31 for side in action["shape"]):
                raise ValueError("its actions have no shape")
        schema = attributes["schema"]
        if schema == SCHEMA and not re.fullmatch(r"[\w-]+", attributes["data"]):
            raise ValueError("its data lie elsewhere")
    except PermissionError as error:
        raise InvalidEpisode(f"{place} may not be read: permission denied") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        if _is_beheaded(place):
            raise InvalidEpisode(
                f"{place} has lost its zarr.json, without which nobody knows what it holds: remove "
                "it, and have it made anew"
            ) from error
        raise EpisodeNotFound(f"there is no episode at {place}") from error
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise InvalidEpisode(f"{place} is no episode: its zarr.json cannot be read") from error
    if type(schema) is not int or schema < 1:
        raise InvalidEpisode(
            f"{place} is no episode: its schema is {schema!r}, not a whole number from 1 on"
        )
    return attributes
