"""Writes LeRobotDataset v3.0, as LeRobot's own code reads it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.formats.clips import encode
from chronosim.formats.columns import (
    CONTENTS,
    EXACT,
    LAST,
    EpisodeColumns,
    check_last,
    with_last_row,
)
from chronosim.formats.exporting import alike, provenance
from chronosim.formats.lerobot.features import (
    Features,
    arrow_schema,
    column_stats,
    columns_of,
    count_values,
    describe,
    describe_camera,
    frame_stats,
)
from chronosim.formats.parquet import indexed_table, pa, pq
from chronosim.types import Frame


@dataclass(frozen=True, slots=True)
class LeRobotExporter:
    """LeRobotDataset v3.0: Parquet tables, and frames as PNG in them or as H.264 beside them.

    Attributes:
        camera: The frames are `observation.images.<camera>`.
        video: Whether frames are videos, one for each episode, rather than images.
        lossless: Whether a video keeps every pixel (in RGB) rather than YUV 4:2:0.
        task: Words of every row's task; None: those of its step.
        robot: LeRobot's `robot_type`.
        last_observation: `drop`: as LeRobot's recorder does; `keep`: as one more row, the one that
            an import could not use, or else one that repeats the last action.

    Raises:
        InvalidConfig: `last_observation` is something else, or the camera's name has a slash.
    """

    camera: str = "front"
    video: bool = False
    lossless: bool = False
    task: str | None = None
    robot: str = "chronosim"
    last_observation: str = "drop"

    def __post_init__(self) -> None:
        check_last(self.last_observation)
        if not self.camera or "/" in self.camera:
            raise InvalidConfig(f"LeRobot's names have no slash in them: {self.camera!r}")

    @property
    def holds(self) -> frozenset[str]:
        """What it has a place for."""
        lost = {"latencies"} | ({"texts"} if self.task else set())
        lost |= set() if self.last_observation == "keep" else {LAST}
        return CONTENTS - lost - ({EXACT} if self.video and not self.lossless else set())

    def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
        """Writes recordings into an empty folder.

        Raises:
            InvalidAction: The actions are not vectors of numbers.
            InvalidConfig: The episodes know no clock, which LeRobot needs.
            InvalidEpisode: The episodes are not alike.
        """
        tables = LeRobotTables(
            folder, camera=self.camera, video=self.video, lossless=self.lossless, task=self.task
        )
        for recording in alike(recordings):
            _check(recording)
            tables.add(with_last_row(recording, self.last_observation))
        tables.close(robot=self.robot, notes={"last_observation": self.last_observation})


def _check(recording: EpisodeColumns) -> None:
    if recording.fps is None:
        raise InvalidConfig(
            f"LeRobot needs a rate, but {recording.name} does not say how long an action is held: "
            "give seconds_per_step"
        )
    actions = recording.actions
    if actions.dtype.kind not in "biuf" or actions.ndim > 2 or actions.shape[1:] == (0,):
        raise InvalidAction(
            f"LeRobot's actions are vectors of numbers, but those of {recording.name} are "
            f"{actions.dtype} of shape {actions.shape[1:]}"
        )


_FILES, _DATA_MB, _VIDEO_MB = 1000, 100, 200  # files in a folder, megabytes in a file
_NUMBERED = "chunk-{chunk_index:03d}/file-{file_index:03d}"


@dataclass(slots=True)
class LeRobotTables:
    """A data set being written: rows first, what is said of them when it is closed.

    Attributes:
        folder: Where to.
        camera: Name of the camera.
        video: Whether frames are videos beside the tables.
        lossless: Whether these keep every pixel.
        task: Words of every row's task; None: its own.
    """

    folder: Path
    camera: str
    video: bool
    lossless: bool
    task: str | None
    features: Features = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    episodes: list[dict[str, Any]] = field(default_factory=list)
    columns: dict[str, list[np.ndarray]] = field(default_factory=dict)
    counts: np.ndarray = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    said: list[dict[str, Any]] = field(default_factory=list)
    shape: tuple[int, ...] = ()  # of an action
    rows: int = 0
    file: int = 0
    writer: Any = None

    @property
    def key(self) -> str:
        """The feature of the frames."""
        return f"observation.images.{self.camera}"

    def add(self, recording: EpisodeColumns) -> None:
        """Writes an episode."""
        said = [self.task or text for text in recording.texts]
        tasks = [self.tasks.setdefault(text, len(self.tasks)) for text in said]
        number = len(self.episodes)
        columns = columns_of(recording, episode=number, begin=self.rows, tasks=tasks)
        if not self.features:
            how = {"video": self.video, "lossless": self.lossless}
            camera = describe_camera(recording.size, fps=recording.fps or 1.0, **how)
            self.features = {self.key: camera, **describe(columns)}
            self.shape = recording.actions.shape[1:]
        self._turn_over()
        self.writer.write_table(self._table(columns, recording))
        counts = count_values(_frames(recording))
        episode = {
            "episode_index": number,
            "tasks": list(dict.fromkeys(said)),
            "length": len(recording),
            **_place("data", self.file),
            "dataset_from_index": self.rows,
            "dataset_to_index": self.rows + len(recording),
            **(self._write_video(recording, number) if self.video else {}),
            **_place("meta/episodes", 0),
            "chronosim/about": json.dumps(provenance(recording)),
        }
        stats = {name: column_stats(values) for name, values in columns.items()}
        stats[self.key] = frame_stats(counts, len(recording))
        flat = {f"stats/{name}/{key}": v for name, of in stats.items() for key, v in of.items()}
        self.episodes.append({**episode, **flat})
        for name, values in columns.items():
            self.columns.setdefault(name, []).append(values)
        self.counts = self.counts + counts
        self.said.append(provenance(recording))
        self.rows += len(recording)

    def close(self, *, robot: str, notes: dict[str, Any]) -> None:
        """Writes what is said of all episodes.

        Args:
            robot: LeRobot's `robot_type`.
            notes: What else an import should know.
        """
        self.writer.close()
        stats = {name: column_stats(np.concatenate(parts)) for name, parts in self.columns.items()}
        stats[self.key] = frame_stats(self.counts, self.rows)
        meta = self.folder / "meta"
        (meta / "episodes" / "chunk-000").mkdir(parents=True)
        for name, value in (("stats", stats), ("info", self._info(robot, notes))):
            (meta / f"{name}.json").write_text(json.dumps(value, indent=2), encoding="utf-8")
        tasks = indexed_table("task", list(self.tasks), {"task_index": list(self.tasks.values())})
        pq.write_table(tasks, meta / "tasks.parquet")
        episodes = pa.Table.from_pylist(self.episodes)
        pq.write_table(episodes, meta / "episodes" / "chunk-000" / "file-000.parquet")

    def _info(self, robot: str, notes: dict[str, Any]) -> dict[str, Any]:
        first = self.said[0]
        fps = first["fps"]
        return {
            "codebase_version": "v3.0",
            "robot_type": robot,
            "total_episodes": len(self.episodes),
            "total_frames": self.rows,
            "total_tasks": len(self.tasks),
            "chunks_size": _FILES,
            "data_files_size_in_mb": _DATA_MB,
            "video_files_size_in_mb": _VIDEO_MB,
            "fps": int(fps) if fps == int(fps) else fps,
            "splits": {"train": f"0:{len(self.episodes)}"},
            "data_path": f"data/{_NUMBERED}.parquet",
            "video_path": f"videos/{{video_key}}/{_NUMBERED}.mp4" if self.video else None,
            "features": self.features,
            "chronosim": {
                "version": first["chronosim"],
                "synthetic": any(said["synthetic"] for said in self.said),
                "rows_per_step": first["rows_per_step"],
                **notes,
                "action_shape": list(self.shape),
                "model": first["about"].get("model"),
                "prompter": first["about"].get("prompter"),
            },
        }

    def _turn_over(self) -> None:
        """Begins the next file of rows once there is none or this one is full."""
        path = self._path("data", self.file, ".parquet")
        if self.writer is not None and path.stat().st_size >= _DATA_MB * 2**20:
            self.writer.close()
            self.writer, self.file = None, self.file + 1
            path = self._path("data", self.file, ".parquet")
        if self.writer is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.writer = pq.ParquetWriter(path, arrow_schema(self.features))

    def _table(self, columns: dict[str, np.ndarray], recording: EpisodeColumns) -> Any:
        schema = arrow_schema(self.features)
        lists = {
            name: values.squeeze(1) if values.shape[1:] == (1,) else values
            for name, values in columns.items()
        }
        arrays = {
            name: pa.array(list(values), schema.field(name).type) for name, values in lists.items()
        }
        if not self.video:
            pictures = [
                {"bytes": _png(frame), "path": f"frame-{row:06d}.png"}
                for row, frame in enumerate(_frames(recording))
            ]
            arrays[self.key] = pa.array(pictures, schema.field(self.key).type)
        return pa.table(arrays, schema=schema)

    def _write_video(self, recording: EpisodeColumns, number: int) -> dict[str, Any]:
        path = self._path(f"videos/{self.key}", number, ".mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        fps = recording.fps or 1.0
        encode(_frames(recording), path, fps, lossless=self.lossless)
        place = _place(f"videos/{self.key}", number)
        times = {"from_timestamp": 0.0, "to_timestamp": len(recording) / fps}
        return {**place, **{f"videos/{self.key}/{name}": at for name, at in times.items()}}

    def _path(self, kind: str, number: int, ending: str) -> Path:
        chunk, file = divmod(number, _FILES)
        name = _NUMBERED.format(chunk_index=chunk, file_index=file)
        return self.folder / kind / f"{name}{ending}"


def _place(kind: str, number: int) -> dict[str, int]:
    chunk, file = divmod(number, _FILES)
    return {f"{kind}/chunk_index": chunk, f"{kind}/file_index": file}


def _frames(recording: EpisodeColumns) -> Iterator[Frame]:
    """The frames that have a row: not the last one, unless it was given one."""
    return islice(iter(recording.frames), len(recording))


def _png(frame: Frame) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
