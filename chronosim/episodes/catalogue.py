"""Which episodes there are, and what each says about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from upath import UPath

from chronosim.episodes.layout import SCHEMA
from chronosim.episodes.place import Place, as_place
from chronosim.errors import EpisodeNotFound, InvalidEpisode

__all__ = ["list_episodes", "read_attributes"]


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
