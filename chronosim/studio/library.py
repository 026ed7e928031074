"""What is in the one folder that a studio saves to and opens from."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.episodes.catalogue import read_attributes
from chronosim.errors import ChronosimError, EpisodeNotFound, InvalidConfig
from chronosim.studio.opening import lineage_of
from chronosim.types import Frame

__all__ = ["Library"]

_MOST = 500  # entries of a folder that are shown; a page of thousands is read by nobody


class Library:
    """A folder of episodes; nothing outside of it is ever read or written.

    Args:
        root: The folder; it is made when something is saved.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()

    def entries(self, path: str) -> dict[str, Any]:
        """Lists a folder in it, the newest first, in JSON values.

        Args:
            path: Relative to the root; "" for the root itself.

        Raises:
            EpisodeNotFound: There is no such folder in it.
        """
        folder = self._inside(path)
        if not folder.is_dir():
            if folder == self.root:
                return {"path": "", "entries": [], "left_out": 0, "root": str(self.root)}
            raise EpisodeNotFound(f"there is no folder {path} in {self.root}")
        found = sorted(
            (one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")),
            key=lambda one: (-one.stat().st_mtime, one.name),
        )
        shown = [entry for one in found[:_MOST] if (entry := self._entry(one))]
        return {
            "path": self._name(folder),
            "entries": shown,
            "left_out": max(0, len(found) - _MOST),
            "root": str(self.root),
        }

    def open(self, path: str) -> list[EpisodeReader]:
        """Opens an episode with those that it forked from, or all those of a data set.

        Args:
            path: Relative to the root: of an episode, a data set, or a run's results.

        Raises:
            EpisodeNotFound: There is none.
            InvalidEpisode: One cannot be read.
        """
        place = self._inside(path)
        if not (place / "zarr.json").is_file():
            dataset = place / "episodes" if (place / "episodes").is_dir() else place
            readers = [
                EpisodeReader(self._inside(self._name(Path(str(one)))))
                for one in list_episodes(dataset)[: _MOST + 1]
            ]
            if not readers:
                raise EpisodeNotFound(f"there are no episodes in {path}")
            if len(readers) > _MOST:
                raise InvalidConfig(f"{path} holds more than {_MOST} episodes: open one of them")
            return readers
        readers = [EpisodeReader(place)]
        while lineage := lineage_of(readers[-1].about):
            name = str(lineage.get("episode"))
            parent = self._inside(self._name(place.parent / name))
            beside = parent.parent == place.parent and (parent / "zarr.json").is_file()
            if not beside or parent in [reader.path for reader in readers]:
                break  # a fork without its parent is an episode like any other
            readers.append(EpisodeReader(parent))
        return readers

    def last_frame(self, path: str) -> Frame:
        """Gives the last frame of an episode, or of the first one in a folder.

        Raises:
            EpisodeNotFound: There is none.
            InvalidEpisode: It cannot be read.
        """
        place = self._inside(path)
        for folder in (place, place / "episodes"):
            if (folder / "zarr.json").is_file():
                break
            if folder.is_dir() and (episodes := list_episodes(folder)):
                folder = self._inside(self._name(Path(str(episodes[0]))))
                break
        else:
            raise EpisodeNotFound(f"there is no episode in {path}")
        reader = EpisodeReader(folder)
        return reader.observation(reader.steps).frame

    def new_folder(self) -> Path:
        """Names a folder for something to be saved; two may be saved in one second."""
        now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        names = (now if number == 1 else f"{now}_{number}" for number in count(1))
        return next(
            self.root / "studio" / name
            for name in names
            if not (self.root / "studio" / name).exists()
        )

    def _inside(self, path: str) -> Path:
        """The real path of one in the library: links lead nowhere else either.

        Raises:
            EpisodeNotFound: It lies outside.
        """
        try:
            real = (self.root / path).resolve()
            real.exists()
        except (OSError, RuntimeError, ValueError) as error:  # an endless name, a loop, a zero byte
            raise EpisodeNotFound(f"there is no such path: {path[:80]!r}") from error
        if not real.is_relative_to(self.root):
            raise EpisodeNotFound(
                f"{path[:80]!r} lies outside of {self.root}: the studio opens only what is there"
            )
        return real

    def _name(self, place: Path) -> str:
        """How a path in the library is called: relative to its root."""
        inside = place.is_relative_to(self.root)
        name = place.relative_to(self.root).as_posix() if inside else str(place)
        return "" if name == "." else name

    def _entry(self, place: Path) -> dict[str, Any] | None:
        """One line of the list; None for what leads outside."""
        try:
            real = self._inside(self._name(place))
            name = {"name": place.name, "path": self._name(real)}
            if not (real / "zarr.json").is_file():
                return {**name, "kind": "run" if (real / "episodes").is_dir() else "folder"}
            attributes = read_attributes(real)
        except ChronosimError:
            return None
        about = attributes["about"]
        return {
            **name,
            "kind": "episode",
            "steps": int(attributes["steps"]),
            "fork": lineage_of(about) is not None,
            "world": str((about.get("model") or {}).get("name") or about.get("source") or ""),
        }
