"""The episodes that a path given to a command means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from chronosim.episodes import list_episodes
from chronosim.episodes.place import Place, as_place
from chronosim.errors import EpisodeNotFound

__all__ = ["dataset_at", "episodes_at", "is_episode", "place"]


def place(path: Any) -> Place:
    """Makes a path of a setting; `~` is the home, and `s3://...` an address used as paths are.

    Raises:
        MissingDependency: The address's kind needs a package that is not installed.
    """
    text = str(path)
    return as_place(text if "://" in text else Path(text).expanduser())


def is_episode(path: Place) -> bool:
    """Whether a path is that of an episode, rather than of a data set."""
    return (path / "zarr.json").is_file()


def dataset_at(path: Place) -> Place:
    """The data set that a path means: itself, or the `episodes` in the results of a command.

    Raises:
        EpisodeNotFound: There is none.
    """
    for folder in (path, path / "episodes"):
        if folder.is_dir() and list_episodes(folder):
            return folder
    raise EpisodeNotFound(
        f"there are no episodes in {path}"
        if path.is_dir()
        else f"there is no data set at {path}: make one with chronosim rollout or record"
    )


def episodes_at(config: DictConfig) -> list[Place]:
    """The episodes that a command's `path` means: one, or all of a data set.

    Raises:
        EpisodeNotFound: There is none.
    """
    path = place(config.path)
    return [path] if is_episode(path) else list_episodes(dataset_at(path))
