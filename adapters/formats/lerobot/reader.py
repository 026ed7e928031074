"""Reads LeRobotDataset v2.x and v3.0, without LeRobot."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chronosim.errors import EpisodeNotFound, InvalidAction, InvalidEpisode
from chronosim.formats.clips import read_clip
from chronosim.formats.columns import EpisodeColumns, FrameSource, make_columns, without_last_row
from chronosim.formats.importing import Contents
from chronosim.formats.parquet import read_columns, read_rows
from chronosim.formats.safety import (
    camera_of,
    fill_template,
    inside,
    lines_of,
    other_format,
    read_json,
)
from chronosim.types import Frame

_OURS = ("next.reward", "next.done", "next.terminated", "next.truncated", "seed", "task_index")
_COUNTERS = ("timestamp", "frame_index", "episode_index", "index")


@dataclass(frozen=True, slots=True)
class LeRobotImporter:
    """LeRobotDataset v2.0, v2.1 or v3.0, from a folder.

    A row's words are its task; `next.done` ends an episode where there is no `next.terminated`.

    Attributes:
        camera: Which camera, by its whole name or the last part of it; None: the only one.
        action: The feature that holds the actions.
        state: The feature that holds the states; None: no state.
    """

    camera: str | None = None
    action: str = "action"
    state: str | None = "observation.state"

    def read(self, source: Path) -> Contents:
        """Opens a data set.

        Raises:
            EpisodeNotFound: It is none, or a file that it names is missing.
            InvalidEpisode: It was never finished, is of another version, has no such feature, or
                names a file outside of its folder.
        """
        if not (source / "meta" / "info.json").is_file():
            raise other_format(source, "LeRobot data set", "meta/info.json")
        info = read_json(source / "meta" / "info.json")
        version = str(info.get("codebase_version"))
        if not version.startswith(("v2.", "v3.")):
            raise InvalidEpisode(f"{source} is LeRobot {version}, but v2 and v3.0 are read")
        features = info.get("features")
        if not isinstance(features, dict) or self.action not in features:
            raise InvalidEpisode(f"{source} has no feature {self.action!r} for its actions")
        cameras = [name for name, of in features.items() if of.get("dtype") in ("image", "video")]
        camera = camera_of(cameras, self.camera, source)
        state = self.state if self.state in features else None
        layout = _v3 if version.startswith("v3") else _v2
        episodes, tasks = layout(source, info)
        reader = _Reader(source, info, camera, self.action, state, tasks)
        read = {camera, self.action, state, *_OURS, *_COUNTERS}
        unread = tuple(sorted(f"the feature {name}" for name in set(features) - read))
        return Contents([partial(reader.recording, episode) for episode in episodes], unread)


Episode = dict[str, Any]


def _v3(source: Path, info: dict[str, Any]) -> tuple[list[Episode], dict[int, str]]:
    """The episodes and the tasks of v3.0: tables."""
    files = sorted((source / "meta" / "episodes").glob("*/*.parquet"))
    if not files:
        raise EpisodeNotFound(
            f"{source} has no meta/episodes/*/*.parquet: its recording was never finished"
        )
    episodes = [row for file in files for row in read_rows(file)]
    tasks = read_columns(source / "meta" / "tasks.parquet")
    labels = next((tasks[name] for name in ("task", "__index_level_0__") if name in tasks), [])
    return episodes, dict(zip(tasks.get("task_index", []), map(str, labels), strict=False))


def _v2(source: Path, info: dict[str, Any]) -> tuple[list[Episode], dict[int, str]]:
    """The episodes and the tasks of v2.x: a line of JSON for each."""
    tasks = {
        int(row["task_index"]): str(row["task"])
        for row in lines_of(source / "meta" / "tasks.jsonl")
        if "task_index" in row and "task" in row
    }
    return list(lines_of(source / "meta" / "episodes.jsonl")), tasks


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one episode after the other."""

    source: Path
    info: dict[str, Any]
    camera: str
    action: str
    state: str | None
    tasks: dict[int, str]

    def recording(self, episode: Episode) -> EpisodeColumns:
        number, length = episode.get("episode_index"), episode.get("length")
        if not isinstance(number, int) or not isinstance(length, int) or length < 1:
            raise InvalidEpisode(f"{self.source} has an episode without a number or a length")
        video = self.info["features"][self.camera]["dtype"] == "video"
        wanted = [self.action, *_OURS, *([self.state] if self.state else [])]
        wanted += [] if video else [self.camera]
        data = self._file("data_path", "data", episode)
        columns = read_columns(data, wanted, ("episode_index", number))
        name = f"episode {number}"
        rows = len(columns.get(self.action, ()))
        if rows != length:
            raise InvalidEpisode(
                f"{name} of {self.source} has {rows} rows, but should have {length}"
            )
        if video:
            frames = self._video(episode, length)
        else:
            frames = FrameSource(partial(_pictures, columns.pop(self.camera), self.source))
        found = make_columns(
            name,
            frames,
            self._actions(columns[self.action]),
            closed=False,
            fps=_rate(self.info, self.source),
            states=None if self.state is None else np.array(columns[self.state]),
            texts=[self.tasks.get(task, "") for task in columns.get("task_index", [None] * length)],
            about=self._about(episode),
            rewards=_column(columns, "next.reward"),
            terminated=_column(columns, "next.terminated", "next.done"),
            truncated=_column(columns, "next.truncated"),
            seeds=_column(columns, "seed"),
        )
        kept = self._ours("last_observation") == "keep"
        return without_last_row(found) if kept and rows > 1 else found

    def _actions(self, actions: list[Any]) -> np.ndarray:
        try:
            # Arrow's lists are Python's: the dtype is what the data set says it is.
            feature = self.info["features"][self.action]
            found = np.array(actions, feature.get("dtype"))
        except (TypeError, ValueError) as error:
            raise InvalidAction(
                f"the actions of {self.source} are not all {feature.get('dtype')} of one width"
            ) from error
        # LeRobot's vectors of one are plain numbers in its tables; ours may have been such, too.
        shape = (
            feature.get("shape", [1])
            if self._ours("action_shape") is None
            else (self._ours("action_shape"))
        )
        if found.size != len(found) * int(np.prod(shape)):
            raise InvalidAction(
                f"the actions of {self.source} are {found.shape[1:]}, but its info says {shape}"
            )
        return found.reshape(len(found), *shape)

    def _about(self, episode: Episode) -> dict[str, Any]:
        said = episode.get("chronosim/about")
        if isinstance(said, str):
            try:
                about = json.loads(said)["about"]
            except (ValueError, KeyError, TypeError):
                about = None
            if isinstance(about, dict):
                return about
        return {"robot_type": self.info.get("robot_type")}

    def _ours(self, name: str) -> Any:
        said = self.info.get("chronosim")
        return said.get(name) if isinstance(said, dict) else None

    def _file(self, template: str, kind: str, episode: Episode) -> Path:
        number = int(episode["episode_index"])
        values: dict[str, str | int] = {
            "video_key": self.camera,
            "episode_index": number,
            "episode_chunk": number // int(self.info.get("chunks_size") or 1000),
        }
        for part in ("chunk_index", "file_index"):
            if f"{kind}/{part}" in episode:
                values[part] = int(episode[f"{kind}/{part}"])
        return inside(self.source, fill_template(self.info.get(template), **values))

    def _video(self, episode: Episode, length: int) -> FrameSource:
        kind = f"videos/{self.camera}"
        path = self._file("video_path", kind, episode)
        begin = float(episode.get(f"{kind}/from_timestamp", 0.0))
        fps = _rate(self.info, self.source)
        return FrameSource(lambda: islice(read_clip(path, begin=begin, fps=fps), length))


def _rate(info: dict[str, Any], source: Path) -> float:
    fps = info.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not fps > 0:
        raise InvalidEpisode(f"the fps of {source} must be a number above 0, not {fps!r}")
    return float(fps)


def _column(columns: dict[str, list[Any]], *names: str) -> np.ndarray | None:
    found = next((columns[name] for name in names if name in columns), None)
    return None if found is None else np.array(found)


def _pictures(cells: list[dict[str, Any]], source: Path) -> Iterator[Frame]:
    """The frames of a column of images: bytes in the table, or files beside it."""
    for cell in cells:
        content: Any = cell.get("bytes")
        if content is None:
            content = inside(source, str(cell.get("path"))).read_bytes()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP"))
            frame = np.array(picture)
        except (OSError, ValueError, Image.DecompressionBombError, Warning) as error:
            raise InvalidEpisode(f"an image in {source} cannot be read: {error}") from error
        if picture.mode != "RGB":
            raise InvalidEpisode(f"an image in {source} is {picture.mode}, but frames are RGB")
        yield frame
