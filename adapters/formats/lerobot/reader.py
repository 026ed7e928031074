"""Reads LeRobotDataset v2.x and v3.0, without LeRobot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import EpisodeNotFound, InvalidAction, InvalidEpisode
from chronosim.formats.clips import read_frames_at
from chronosim.formats.columns import EpisodeColumns, FrameSource, make_columns, without_last_row
from chronosim.formats.importing import Contents
from chronosim.formats.parquet import (
    EpisodeTables,
    array_of,
    numbers_of,
    read_columns,
    read_rows,
)
from chronosim.formats.safety import (
    FIELD,
    camera_of,
    fill_template,
    inside,
    lines_of,
    names_of,
    other_format,
    read_json,
)
from chronosim.frames import decode_frame
from chronosim.types import Frame

Episode = dict[str, Any]

_OURS = (
    *("next.reward", "next.done", "next.terminated", "next.truncated", "next.success"),
    *("seed", "task_index"),
)
_COUNTERS = ("timestamp", "frame_index", "episode_index", "index")


@dataclass(frozen=True, slots=True)
class LeRobotImporter:
    """LeRobotDataset v2.0, v2.1 or v3.0, from a folder.

    A row's words are its task; `next.done` ends an episode where there is no `next.terminated`.

    Frames in videos are found by the time of their row. A row that no frame is near, by half the
    time between two rows, ends the episode's import, and no frame of another episode is taken.

    Attributes:
        camera: Which camera, by its whole name or the last part of it; None: the only one.
        action: The feature that holds the actions, or several to be joined; None: `action`.
        state: The same for the states; None: `observation.state`, if there is one; []: no state.
        links: Whether links that lead out of the folder are followed; they may show any file of
            yours, so only those that you made.
    """

    camera: str | None = None
    action: str | Sequence[str] | None = None
    state: str | Sequence[str] | None = None
    links: bool = False

    def read(self, source: Path) -> Contents:
        """Opens a data set.

        Raises:
            EpisodeNotFound: It is none, or a file that it names is missing.
            InvalidConfig: A setting is no name.
            InvalidEpisode: It was never finished, is of another version, has no such feature, or
                names a file outside of its folder.
        """
        if not (source / "meta" / "info.json").is_file():
            raise other_format(source, "LeRobot data set", "meta/info.json")
        info = read_json(source / "meta" / "info.json")
        version = str(info.get("codebase_version"))
        if not version.startswith(("v2.", "v3.")):
            raise InvalidEpisode(f"{source} is LeRobot {version}, but v2 and v3.0 are read")
        features = _features(info, source)
        kinds = {name: _kind(of) for name, of in features.items()}
        cameras = [name for name, kind in kinds.items() if kind == "camera"]
        numbers = set(features) - set(cameras)
        camera = camera_of(cameras, self.camera, source, {name: kinds[name] for name in numbers})
        actions = names_of(numbers, self.action, ("action",), source, "format.action")
        if not actions:
            known = ", ".join(sorted(numbers))
            raise InvalidEpisode(
                f"{source} has no feature 'action'; it has: {known}; name one of them with "
                "format.action="
            )
        states = names_of(numbers, self.state, ("observation.state",), source, "format.state")
        layout = _v3 if version.startswith("v3") else _v2
        episodes, tasks = layout(source)
        wanted = {*actions, *states, *_OURS, *_COUNTERS}
        video = features[camera]["dtype"] == "video"
        tables = EpisodeTables([], wanted | (set() if video else {camera}))
        converted: set[str] = set()
        reader = _Reader(
            source, info, camera, actions, states, tasks, self.links, tables, converted
        )
        others = {name: kinds[name] for name in set(features) - wanted - {camera}}
        unread = _unread(others, info, episodes, source)
        recordings = [partial(reader.recording, episode) for episode in episodes]
        return Contents(recordings, unread, converted)


def _features(info: dict[str, Any], source: Path) -> dict[str, dict[str, Any]]:
    features = info.get("features")
    if not isinstance(features, dict) or not all(isinstance(of, dict) for of in features.values()):
        raise InvalidEpisode(f"the info of {source} must have an object for each of its features")
    return features


def _unread(
    others: dict[str, str], info: dict[str, Any], episodes: list[Episode], source: Path
) -> list[str]:
    """What is left behind: features, and what the info counts and no metadata names."""
    numbers = [str(episode.get("episode_index")) for episode in episodes]
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise InvalidEpisode(f"the metadata of {source} name episode {twice} twice")
    total = info.get("total_episodes")
    more = total - len(episodes) if isinstance(total, int) else 0
    features = sorted(
        f"the {'depth' if kind == 'depth' else 'feature'} {name}" for name, kind in others.items()
    )
    lost = [f"{more} episodes that the info counts and the metadata do not name"]
    return features + lost * (more > 0)


def _kind(feature: dict[str, Any]) -> str:
    """What a feature holds: `camera`, `depth`, or the dtype of its numbers."""
    if feature.get("dtype") not in ("image", "video"):
        return str(feature.get("dtype"))
    told = feature.get("info") or feature.get("video_info")
    depth = isinstance(told, dict) and told.get("video.is_depth_map") is True
    return "depth" if depth else "camera"


def _v3(source: Path) -> tuple[list[Episode], dict[int, str]]:
    """The episodes and the tasks of v3.0: tables."""
    files = sorted((source / "meta" / "episodes").glob("*/[!.]*.parquet"))
    if not files:
        raise EpisodeNotFound(
            f"{source} has no meta/episodes/*/*.parquet: its recording was never finished"
        )
    episodes = [row for file in files for row in read_rows(file, without="stats/")]
    tasks = read_columns(source / "meta" / "tasks.parquet")
    labels = next((tasks[name] for name in ("task", "__index_level_0__") if name in tasks), [])
    numbers = tasks.get("task_index", [])
    return episodes, _numbered(source, zip(numbers, labels, strict=False))


def _v2(source: Path) -> tuple[list[Episode], dict[int, str]]:
    """The episodes and the tasks of v2.x: a line of JSON for each."""
    rows = lines_of(source / "meta" / "tasks.jsonl")
    tasks = _numbered(source, ((row.get("task_index"), row.get("task")) for row in rows))
    return list(lines_of(source / "meta" / "episodes.jsonl")), tasks


def _numbered(source: Path, tasks: Iterable[tuple[Any, Any]]) -> dict[int, str]:
    found = {}
    for number, words in tasks:
        if not isinstance(number, int) or not isinstance(words, str):
            raise InvalidEpisode(
                f"the tasks of {source} must be words with a number, not {words!r} with {number!r}"
            )
        found[number] = words
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one episode after the other."""

    source: Path
    info: dict[str, Any]
    camera: str
    actions: tuple[str, ...]
    states: tuple[str, ...]
    tasks: dict[int, str]
    links: bool
    tables: EpisodeTables
    converted: set[str]

    def recording(self, episode: Episode) -> EpisodeColumns:
        number, length = episode.get("episode_index"), episode.get("length")
        if not isinstance(number, int) or not isinstance(length, int) or length < 1:
            raise InvalidEpisode(f"{self.source} has an episode without a number or a length")
        name = f"episode {number}"
        table = self._rows(episode, number, length)
        columns = {
            column: self._column(table, column, name)
            for column in table.column_names
            if column != self.camera
        }
        times, uneven = self._times(columns, name, length)
        if self.info["features"][self.camera]["dtype"] == "video":
            frames = self._video(episode, times, name)
        else:
            frames = self._pictures(table, name)
        found = make_columns(
            name,
            frames,
            self._joined(columns, self.actions, name),
            closed=False,
            fps=_rate(self.info, self.source),
            lost=["the uneven timestamps of rows"] if uneven else [],
            states=self._joined(columns, self.states, name) if self.states else None,
            texts=self._texts(columns, name),
            about=self._about(episode),
            rewards=columns.get("next.reward"),
            terminated=columns.get("next.terminated", columns.get("next.done")),
            truncated=columns.get("next.truncated"),
            success=columns.get("next.success"),
            seeds=columns.get("seed"),
        )
        kept = self._ours("last_observation") == "keep"
        return without_last_row(found) if kept and length > 1 else found

    def _column(self, table: Any, column: str, name: str) -> np.ndarray:
        read = array_of if column in (*self.actions, *self.states) else numbers_of
        return read(table.column(column), column, f"{name} of {self.source}")

    def _texts(self, columns: dict[str, np.ndarray], name: str) -> list[str] | None:
        if "task_index" not in columns:
            return None
        numbers = columns["task_index"].tolist()
        for row, number in enumerate(numbers):
            if number not in self.tasks:
                raise InvalidEpisode(
                    f"row {row} of {name} of {self.source} has the task {number}, which is not "
                    "among its tasks"
                )
        return [self.tasks[number] for number in numbers]

    def _rows(self, episode: Episode, number: int, length: int) -> Any:
        """An episode's rows in order, wherever they are: a set that was edited may not know."""
        try:
            likely = self._file("data_path", "data", episode)
        except EpisodeNotFound:
            likely = None
        if not self.tables.files:
            pattern = FIELD.sub("*", str(self.info["data_path"]))
            names = sorted(path.relative_to(self.source) for path in self.source.glob(pattern))
            self.tables.files = [
                inside(self.source, name.as_posix(), links=self.links) for name in names
            ]
        table = self.tables.rows(number, length, likely)
        if "frame_index" not in table.column_names:
            return table
        index = self._column(table, "frame_index", f"episode {number}")
        order = np.argsort(index, kind="stable")
        odd = np.flatnonzero(np.diff(index[order]) != 1)
        if odd.size:
            before, after = index[order][odd[0] : odd[0] + 2]
            raise InvalidEpisode(
                f"episode {number} of {self.source} has a row of frame_index {after} after that of "
                f"{before}: rows are missing or doubled"
            )
        return table if (order == np.arange(length)).all() else table.take(order)

    def _times(
        self, columns: dict[str, np.ndarray], name: str, length: int
    ) -> tuple[np.ndarray, bool]:
        """Seconds of each row in its episode, and whether they are those of no steady rate."""
        fps = _rate(self.info, self.source)
        even = np.arange(length) / fps
        times = columns.get("timestamp", even).astype(np.float64)
        backwards = np.flatnonzero(~(np.diff(times) >= 0))
        if backwards.size:
            row = int(backwards[0]) + 1
            raise InvalidEpisode(
                f"the clock of {name} of {self.source} goes backwards at row {row}: its timestamp "
                f"is {times[row]:.3f} s after {times[row - 1]:.3f} s"
            )
        return times, bool((np.abs(times - times[0] - even) > 0.5 / fps).any())

    def _joined(
        self, columns: dict[str, np.ndarray], features: tuple[str, ...], name: str
    ) -> np.ndarray:
        parts = [self._declared(columns, feature, name) for feature in features]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], 1)

    def _declared(self, columns: dict[str, np.ndarray], feature: str, name: str) -> np.ndarray:
        """A column as the data set's info says that it is; LeRobot's vectors of one are numbers."""
        if feature not in columns:
            raise InvalidEpisode(f"{name} of {self.source} has no column {feature!r}")
        described, found = self.info["features"][feature], columns[feature]
        shape = described.get("shape", [1])
        if feature == "action" and self._ours("action_shape") is not None:
            shape = self._ours("action_shape")
        where = f"the {feature} of {name} of {self.source}"
        try:
            values = found.astype(described.get("dtype"))
            shaped = values.reshape(len(found), *shape)
        except (TypeError, ValueError) as error:
            raise InvalidAction(
                f"{where} is {found.dtype} of shape {found.shape[1:]}, but its info says "
                f"{described.get('dtype')} of shape {shape}"
            ) from error
        narrowed = found.dtype.kind == "f" and values.dtype.kind == "f"
        changed = np.zeros(0, bool) if narrowed else (values != found).reshape(len(found), -1)
        if changed.any():
            row = int(np.argmax(changed.any(1)))
            raise InvalidAction(
                f"{where} is {found[row].tolist()} at row {row}, which is no {values.dtype}, as "
                "its info says"
            )
        return shaped

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
            "episode_chunk": number // (_whole(self.info, "chunks_size", self.source) or 1000),
        }
        for part in ("chunk_index", "file_index"):
            if f"{kind}/{part}" in episode:
                values[part] = _whole(episode, f"{kind}/{part}", self.source)
        name = fill_template(self.info.get(template), **values)
        return inside(self.source, name, links=self.links)

    def _video(self, episode: Episode, times: np.ndarray, name: str) -> FrameSource:
        """Frames by their times; those of another episode may stand before and behind them."""
        kind, fps = f"videos/{self.camera}", _rate(self.info, self.source)
        path = self._file("video_path", kind, episode)
        begin = episode.get(f"{kind}/from_timestamp", 0.0)
        end = episode.get(f"{kind}/to_timestamp", math.inf)
        if not isinstance(begin, int | float) or not isinstance(end, int | float):
            raise InvalidEpisode(
                f"{name} of {self.source} must begin and end at seconds of its video, not "
                f"{begin!r} and {end!r}"
            )
        slack = 0.25 / fps  # a file's clock rounds
        return FrameSource(
            lambda: read_frames_at(
                path,
                times + begin,
                within=0.5 / fps,
                begin=begin - slack,
                end=end - slack,
                of=name,
                told=self.converted.add,
            )
        )

    def _pictures(self, table: Any, name: str) -> FrameSource:
        if self.camera not in table.column_names:
            raise InvalidEpisode(f"{name} of {self.source} has no column {self.camera!r}")
        cells, where = table.column(self.camera), f"the column {self.camera!r} of {name}"
        return FrameSource(
            lambda: (self._picture(cell.as_py(), where, row) for row, cell in enumerate(cells))
        )

    def _picture(self, cell: Any, where: str, row: int) -> Frame:
        """A frame of a column of images: bytes in the table, or a file beside it."""
        parts = cell if isinstance(cell, dict) else {"bytes": cell}
        content, path = parts.get("bytes"), parts.get("path")
        if content is None and isinstance(path, str):
            content = inside(self.source, path, links=self.links).read_bytes()
        if not isinstance(content, bytes):
            raise InvalidEpisode(f"{where} of {self.source} has no image at row {row}")
        return decode_frame(
            content,
            f"{where} of {self.source} at row {row}",
            told=lambda what: self.converted.add(f"images to RGB frames: {what}"),
        )


def _whole(values: dict[str, Any], name: str, source: Path) -> int:
    found = values.get(name) or 0
    if not isinstance(found, int) or found < 0:
        raise InvalidEpisode(f"the {name} of {source} must be a whole number, not {found!r}")
    return found


def _rate(info: dict[str, Any], source: Path) -> float:
    fps = info.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not fps > 0:
        raise InvalidEpisode(f"the fps of {source} must be a number above 0, not {fps!r}")
    return float(fps)
