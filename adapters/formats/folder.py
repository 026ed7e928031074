"""Reads a folder of videos or frames, each with a table of what was done.

Each episode is a table, `<name>.csv`, `.jsonl` or `.json`, and beside it its frames: a video of
that name (`.mp4`, `.mkv`, ...), a folder of that name with image files, read in the order of the
numbers in their names, or an array `<name>.npy`, uint8 (frames, height, width, 3).

A table has a row for each action: `action` (a JSON list or words) or `action_0`, `action_1`, ...;
and, where known, `text`, `reward`, `terminated`, `truncated`, `seed`, `latency` and `state` or
`state_0`, `state_1`, ... There are as many frames as rows, or one more: the last observation. A
`.json` is what chronosim's own MP4 export writes.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import EpisodeNotFound, InvalidAction, InvalidEpisode
from chronosim.formats.clips import KINDS, count_frames, read_clip
from chronosim.formats.columns import EpisodeColumns, FrameSource, make_columns
from chronosim.formats.importing import Contents
from chronosim.formats.safety import lines_of, other_format, read_json
from chronosim.frames import read_frame

_TABLES = (".json", ".jsonl", ".csv")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_FLAGS = {"true": True, "1": True, "false": False, "0": False, "": False}
_NUMBERS = {"reward": "rewards", "seed": "seeds", "latency": "latency"}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FolderImporter:
    """A folder of episodes: a table for each, and its frames beside it (see the module).

    Attributes:
        fps: Rows a second, where no sidecar says; None: as the video says, or unknown.
    """

    fps: float | None = None

    def read(self, source: Path) -> Contents:
        """Opens a folder.

        Raises:
            EpisodeNotFound: There is no table in it.
        """
        tables = sorted(path for path in source.glob("[!.]*") if path.suffix in _TABLES)
        if not tables:
            lacks = f"table of an episode: {', '.join(_TABLES)}"
            raise other_format(source, "folder of tables and frames", lacks)
        names = [path.stem for path in tables]
        for name in names:
            if names.count(name) > 1:
                raise InvalidEpisode(f"{source} has several tables for the episode {name!r}")
        notes: set[str] = set()
        return Contents([partial(self._recording, path, notes) for path in tables], converted=notes)

    def _recording(self, path: Path, notes: set[str]) -> EpisodeColumns:
        sidecar = read_json(path) if path.suffix == ".json" else {}
        rows = _rows(path, sidecar)
        frames, count, fps = _pictures(path, notes)
        if count - len(rows) not in (0, 1):
            raise InvalidEpisode(
                f"{path} has {len(rows)} rows, but there are {count} frames beside it: there must "
                "be as many, or one more"
            )
        # What is said to be words stays as it is: "null" and "1e3" would pass for JSON.
        dtype, parse = _dtype(sidecar), sidecar.get("action_dtype") != "string"
        actions = np.array(_vectors(rows, "action", path, parse=parse), dtype)
        states = sidecar.get("states")
        if states is None and _has(rows, "state"):
            states = _vectors(rows, "state", path)
            states = states + states[-1:] * (count - len(rows))  # none is known of the last frame
        columns: dict[str, Any] = {
            ours: _numbers(rows, theirs, path) for theirs, ours in _NUMBERS.items()
        }
        columns |= {name: _flags(rows, name, path) for name in ("terminated", "truncated")}
        return make_columns(
            str(sidecar.get("episode", path.stem)),
            frames,
            actions,
            closed=count > len(rows),
            fps=self.fps or sidecar.get("fps", fps),
            states=None if states is None else np.array(states, np.float32).reshape(count, -1),
            texts=[str(row.get("text") or "") for row in rows],
            about=sidecar.get("about"),
            **columns,
        )


def _rows(path: Path, sidecar: dict[str, Any]) -> list[Row]:
    if path.suffix == ".json":
        rows = sidecar.get("rows")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InvalidEpisode(f"{path} must have a list of objects under 'rows'")
    elif path.suffix == ".jsonl":
        rows = list(lines_of(path))
    else:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, strict=True))
        except (OSError, ValueError, csv.Error) as error:
            raise InvalidEpisode(f"{path} cannot be read as CSV: {error}") from error
    if not rows:
        raise InvalidEpisode(f"{path} has no row")
    return rows


def _pictures(path: Path, notes: set[str]) -> tuple[FrameSource, int, float | None]:
    """The frames beside a table, how many there are, and their rate where they say it."""
    for ending in KINDS:
        if (video := path.with_suffix(ending)).is_file():
            count, fps = count_frames(video)
            return FrameSource(partial(read_clip, video)), count, fps
    if (array := path.with_suffix(".npy")).is_file():
        frames = _array(array)
        return FrameSource(lambda: iter(np.asarray(frame) for frame in frames)), len(frames), None
    folder = path.with_suffix("")
    found = [file for file in folder.glob("*") if file.suffix.lower() in _PICTURES]
    files = sorted(found, key=_natural)
    if not files:
        raise EpisodeNotFound(f"there are no frames beside {path}: no video, folder or .npy")
    read = partial(read_frame, told=notes.add)
    return FrameSource(lambda: map(read, files)), len(files), None


def _natural(file: Path) -> tuple[list[str | int], str]:
    """Sorts 2.png before 10.png, as whoever numbered them meant it."""
    parts = re.split(r"(\d+)", file.name)
    return [int(part) if part.isdecimal() else part for part in parts], file.name


def _array(path: Path) -> np.ndarray:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidEpisode(f"{path} is no plain array ({error}); pickles are refused") from error
    if found.dtype != np.uint8 or found.ndim != 4 or found.shape[-1] != 3:
        raise InvalidEpisode(
            f"{path} must be uint8 of shape (frames, height, width, 3), not {found.dtype} of shape "
            f"{found.shape}"
        )
    return found


def _dtype(sidecar: dict[str, Any]) -> Any:
    name = sidecar.get("action_dtype")
    if name is None:
        return None
    try:
        dtype = np.dtype(np.str_ if name == "string" else name)
    except TypeError as error:
        raise InvalidAction(f"there is no dtype {name!r} for actions") from error
    if dtype.kind not in "biufU":
        raise InvalidAction(f"actions are numbers or words, not {name!r}")
    return dtype


def _has(rows: list[Row], name: str) -> bool:
    return name in rows[0] or f"{name}_0" in rows[0]


def _vectors(rows: list[Row], name: str, path: Path, *, parse: bool = True) -> list[Any]:
    """A column of vectors, numbers or words: in one cell, or a number in each of several."""
    if not _has(rows, name):
        raise InvalidEpisode(f"{path} has no column {name!r} nor {name}_0; it has: {list(rows[0])}")
    found = [
        _vector(row, name, f"row {number} of {path}", parse=parse)
        for number, row in enumerate(rows)
    ]
    if len({np.shape(value) for value in found}) > 1:
        raise InvalidAction(f"the column {name!r} of {path} has rows of several widths")
    return found


def _vector(row: Row, name: str, where: str, *, parse: bool) -> Any:
    cells = [row.get(name)]
    if name not in row:
        cells = [row[key] for key in (f"{name}_{axis}" for axis in range(len(row))) if key in row]
    try:
        values = [json.loads(cell) if parse and isinstance(cell, str) else cell for cell in cells]
    except ValueError:
        return cells[0]  # words
    if any(value is None or not np.size(value) for value in values):
        raise InvalidAction(f"{where} has no {name}")
    return values[0] if name in row else values


def _numbers(rows: list[Row], name: str, path: Path) -> np.ndarray | None:
    if name not in rows[0]:
        return None
    read, dtype = (_seed, np.int64) if name == "seed" else (_number, np.float64)
    try:
        return np.array([read(row.get(name)) for row in rows], dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidEpisode(f"the column {name!r} of {path} is no number: {error}") from error


def _number(cell: Any) -> float:
    return float("nan") if cell in (None, "") else float(cell)


def _seed(cell: Any) -> int:
    """A whole number, exactly: as a float, a large one would lose its low bits."""
    if cell in (None, ""):
        return 0
    try:
        return int(str(cell))
    except ValueError:
        number = float(cell)  # as tables write whole numbers too: 7.0
        if not number.is_integer():
            raise
        return int(number)


def _flags(rows: list[Row], name: str, path: Path) -> np.ndarray | None:
    if name not in rows[0]:
        return None
    try:
        return np.array([_FLAGS[str(row.get(name) or "").lower()] for row in rows])
    except KeyError as error:
        raise InvalidEpisode(
            f"the column {name!r} of {path} must be true or false: {error}"
        ) from error
