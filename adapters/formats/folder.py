"""Reads a folder of videos or frames, each with a table of what was done.

Each episode is a table, `<name>.csv`, `.jsonl` or `.json`, and beside it its frames: a video of
that name (`.mp4`, `.mkv`, `.gif`, ...), a folder of that name with image files, whose names differ
in one number that orders them, or an array `<name>.npy`, (frames, height, width, channels). Where
there are several, or a number is missing, nothing is guessed: it is an error.

A table has a row for each action: `action` (a JSON list or words) or `action_0`, `action_1`, ...;
and, where known, `text`, `reward`, `terminated`, `truncated`, `success`, `seed`, `latency` and
`state` or `state_0`, `state_1`, ... There are as many frames as rows, or one more: the last
observation. CSV may have commas, semicolons (then with decimal commas) or tabs. A `.json` is what
chronosim's own MP4 export writes: an object with a list of `rows`; one without them, and nothing
beside it of its name, is no table.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import ChronosimError, EpisodeNotFound, InvalidAction, InvalidEpisode
from chronosim.formats.clips import KINDS, inspect_clip, read_clip
from chronosim.formats.columns import EpisodeColumns, FrameSource, make_columns
from chronosim.formats.importing import Contents
from chronosim.formats.pixels import FrameMaker
from chronosim.formats.safety import check_not_pointer, lines_of, other_format, read_json, text_of
from chronosim.frames import read_frame
from chronosim.types import Frame

_TABLES = (".json", ".jsonl", ".csv")
_PICTURES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"),
    *(".heic", ".heif", ".ppm", ".pgm", ".pnm", ".tga", ".jp2", ".exr", ".dng"),
}
"""Endings of pictures; whether one can be read is found out when it is."""

_FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False, "": False}
_NUMBERS = {"reward": "rewards", "seed": "seeds", "latency": "latency", "success": "success"}
_OTHERS = ("text", "terminated", "truncated")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NAMED = re.compile(r"(\d+(?:\.\d+)?)")
_WITH_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FolderImporter:
    """A folder of episodes: a table for each, and its frames beside it (see the module).

    Attributes:
        fps: Rows a second, whatever a sidecar or a video says; None: as they say, or unknown.
    """

    fps: float | None = None

    def read(self, source: Path) -> Contents:
        """Opens a folder.

        Raises:
            EpisodeNotFound: There is no table in it.
        """
        beside: dict[str, list[Path]] = {}
        for path in sorted(source.glob("[!.]*")):  # macOS's ._x.png are none
            beside.setdefault(path.name if path.is_dir() else path.stem, []).append(path)
        tables = [path for paths in beside.values() for path in paths if _is_table(path, paths)]
        if not tables:
            lacks = f"table of an episode: {', '.join(_TABLES)}"
            raise other_format(source, "folder of tables and frames", lacks)
        for name, count in Counter(path.stem for path in tables).items():
            if count > 1:
                raise InvalidEpisode(f"{source} has several tables for the episode {name!r}")
        named = {path.stem for path in tables}
        alone = [path for name, paths in beside.items() if name not in named for path in paths]
        converted: set[str] = set()
        fractions = len(tables) > 1 and any(map(_has_fractions, tables))
        recordings = [
            partial(self._recording, path, beside[path.stem], fractions, converted)
            for path in tables
        ]
        return Contents(recordings, _unread("without a table", alone), converted)

    def _recording(
        self, path: Path, beside: list[Path], fractions: bool, converted: set[str]
    ) -> EpisodeColumns:
        sidecar = read_json(path) if path.suffix.lower() == ".json" else {}
        rows = _rows(path, sidecar, converted)
        frames = _find_frames(path, beside, len(rows), converted)
        if frames.count - len(rows) not in (0, 1):
            raise InvalidEpisode(
                f"{path} has {len(rows)} rows, but there are {frames.count} frames beside it: "
                "there must be as many, or one more"
            )
        # What is said to be words stays as it is: "null" and "1e3" would pass for JSON.
        dtype, parse = _dtype(sidecar), sidecar.get("action_dtype") != "string"
        actions = _actions(_vectors(rows, "action", path, parse=parse), dtype, path)
        if dtype is None and fractions and actions.dtype.kind in "iu":
            actions = actions.astype(np.float64)  # other episodes of the folder have fractions
        columns: dict[str, Any] = {
            ours: _numbers(rows, theirs, path) for theirs, ours in _NUMBERS.items()
        }
        columns |= {name: _flags(rows, name, path) for name in ("terminated", "truncated")}
        return make_columns(
            str(sidecar.get("episode", path.stem)),
            frames.source,
            actions,
            closed=frames.count > len(rows),
            fps=self.fps or sidecar.get("fps", frames.fps),
            states=_states(sidecar, rows, path, frames.count, converted),
            texts=[str(row.get("text") or "") for row in rows],
            about=sidecar.get("about"),
            lost=[*_unknown(rows), *frames.lost],
            **columns,
        )


def _is_table(path: Path, beside: list[Path]) -> bool:
    """Whether a file is the table of an episode, rather than a note such as metadata.json."""
    if path.suffix.lower() not in _TABLES or not path.is_file():
        return False
    frames = [each for each in beside if each.suffix.lower() not in _TABLES]
    alone = len(beside) == len(frames) + 1
    if frames and (alone or path.suffix.lower() != ".json"):
        return True  # they may be those of another table of this name, of which a JSON tells
    try:
        sidecar = read_json(path) if path.suffix.lower() == ".json" else {}
        return _has(_rows(path, sidecar, set()), "action")
    except ChronosimError:
        return path.suffix.lower() != ".json"  # why it cannot be read is told later


def _unknown(rows: list[Row]) -> list[str]:
    """Columns that nothing is made of, in the words of a report."""
    known = {"action", "state", *_NUMBERS, *_OTHERS}
    keys = sorted({key for row in rows for key in row} - known)
    return [f"the column {key}" for key in keys if not re.fullmatch(r"(action|state)_\d+", key)]


def _unread(why: str, paths: list[Path]) -> list[str]:
    """Names files in the words of a report; of many only the first."""
    more = [f"{len(paths) - 3} more {why}"] if len(paths) > 4 else []
    return [f"{path.name}, {why}" for path in paths[: 3 if more else 4]] + more


def _rows(path: Path, sidecar: dict[str, Any], converted: set[str]) -> list[Row]:
    if path.suffix.lower() == ".json":
        rows = sidecar.get("rows")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InvalidEpisode(f"{path} must have a list of objects under 'rows'")
    else:
        rows = (
            list(lines_of(path)) if path.suffix.lower() == ".jsonl" else _csv_rows(path, converted)
        )
    if not rows:
        raise InvalidEpisode(f"{path} has no row")
    return rows


def _csv_rows(path: Path, converted: set[str]) -> list[Row]:
    text = text_of(path)
    separator = max(",;\t", key=text.partition("\n")[0].count)
    try:
        rows = list(csv.DictReader(io.StringIO(text, ""), strict=True, delimiter=separator))
    except (ValueError, csv.Error) as error:
        raise InvalidEpisode(f"{path} cannot be read as CSV: {error}") from error
    for number, row in enumerate(rows):
        if None in row or None in row.values():
            wrong = "more" if None in row else "fewer"
            raise InvalidEpisode(f"row {number} of {path} has {wrong} cells than the header")
    if separator != ";":
        return rows
    points = [
        {
            key: cell.replace(",", ".") if _WITH_COMMA.fullmatch(cell) else cell
            for key, cell in row.items()
        }
        for row in rows
    ]
    if points != rows:
        converted.add(f"decimal commas to points ({path.suffix} with semicolons)")
    return points


def _has_fractions(path: Path) -> bool:
    """Whether the numbers of a table's actions are not all whole; what is wrong is told later."""
    try:
        sidecar = read_json(path) if path.suffix.lower() == ".json" else {}
        if sidecar.get("action_dtype") is not None:
            return False
        return np.array(_vectors(_rows(path, sidecar, set()), "action", path)).dtype.kind == "f"
    except (ChronosimError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class _Found:
    """The frames beside a table: how many, their rate where they say it, and what is lost."""

    source: FrameSource
    count: int
    fps: float | None = None
    lost: tuple[str, ...] = ()


def _find_frames(path: Path, beside: list[Path], rows: int, converted: set[str]) -> _Found:
    others = [other for other in beside if other != path]
    found = [
        other
        for other in others
        if other.is_dir() or (other.is_file() and other.suffix.lower() in {*KINDS, ".npy"})
    ]
    if len(found) > 1:
        names = " and ".join(other.name for other in found)
        raise InvalidEpisode(f"{path} has {names} beside it: which holds its frames? Keep one")
    if not found:
        known = f"no folder or .npy, and no video ({', '.join(KINDS)})"
        but = f", but {', '.join(other.name for other in others)}" if others else ""
        raise EpisodeNotFound(f"there are no frames beside {path}: {known}{but}")
    if found[0].is_dir():
        return _folder_frames(found[0], converted)
    return (_array if found[0].suffix.lower() == ".npy" else _video)(found[0], rows, converted)


def _video(path: Path, rows: int, converted: set[str]) -> _Found:
    traits = inspect_clip(path)
    count = traits.frames
    if count - rows not in (0, 1):  # what a file says of itself may be wrong
        count = sum(1 for _ in read_clip(path))
    if traits.turned:
        converted.add("videos to upright frames, as their headers say")
    uneven = (f"the uneven times of the frames of {path.name}",) if traits.uneven else ()
    return _Found(FrameSource(lambda: _counted(path, count)), count, traits.fps, uneven)


def _counted(path: Path, count: int) -> Iterator[Frame]:
    number = 0
    for frame in read_clip(path):
        number += 1
        yield frame
    if number != count:
        raise InvalidEpisode(f"{path} shows {number} frames, but says that there are {count}")


def _folder_frames(folder: Path, converted: set[str]) -> _Found:
    inside = sorted(folder.glob("[!.]*"))
    files = [each for each in inside if each.suffix.lower() in _PICTURES and each.is_file()]
    others = [each for each in inside if each not in set(files)]
    if not files:
        names = ", ".join(each.name for each in others[:5]) or "nothing"
        raise EpisodeNotFound(f"there is no picture in {folder}; it holds {names}")
    ordered, uneven = _in_order(folder, files)
    lost = [f"the uneven times in the names of the frames of {folder.name}"] if uneven else []

    def read(file: Path) -> Frame:
        return read_frame(file, told=lambda what: converted.add(f"images to RGB frames: {what}"))

    return _Found(
        FrameSource(lambda: map(read, ordered)),
        len(ordered),
        lost=(*lost, *_unread(f"no picture, in {folder.name}", others)),
    )


def _in_order(folder: Path, files: list[Path]) -> tuple[list[Path], bool]:
    """Pictures by the one number in which their names differ; and whether it is no even count.

    Raises:
        InvalidEpisode: They differ otherwise, as those of two cameras, or a number is missing.
    """
    parts = {file: _NAMED.split(file.stem) for file in files}
    words = {tuple(each[::2]) for each in parts.values()}
    columns = list(zip(*(each[1::2] for each in parts.values()), strict=len(words) == 1))
    varying = [at for at, column in enumerate(columns) if len(set(column)) > 1]
    if len(words) > 1 or len(varying) > 1 or (len(files) > 1 and not varying):
        kinds = sorted({"#".join(each[::2]) for each in parts.values()})
        told = f"are named {' and '.join(kinds[:3])}" if len(kinds) > 1 else f"as {files[0].name}"
        raise InvalidEpisode(
            f"the pictures in {folder} {told}: one number must say their order, so give each "
            "camera a folder of its own"
        )
    if not varying:
        return files, False
    number = {file: Decimal(parts[file][2 * varying[0] + 1]) for file in files}
    ordered = sorted(files, key=number.__getitem__)
    steps = [number[after] - number[before] for before, after in pairwise(ordered)]
    least = min(steps)
    counted = least and all(step % least == 0 for step in steps)
    for step, (before, after) in zip(steps, pairwise(ordered), strict=True):
        if not step:
            raise InvalidEpisode(f"{before} and {after.name} have the same number")
        if step != least and counted:
            raise InvalidEpisode(f"{folder} has no picture between {before.name} and {after.name}")
    return ordered, len(set(steps)) > 1


def _array(path: Path, rows: int, converted: set[str]) -> _Found:
    check_not_pointer(path)
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidEpisode(f"{path} is no plain array ({error}); pickles are refused") from error
    if found.ndim not in (3, 4):
        raise InvalidEpisode(
            f"{path} must hold (frames, height, width, channels), not an array of {found.shape}"
        )
    maker = FrameMaker(path.name, converted)

    def read() -> Iterator[Frame]:
        return (maker(found[row : row + 1], row=row)[0] for row in range(len(found)))

    return _Found(FrameSource(read), len(found))


def _states(
    sidecar: dict[str, Any], rows: list[Row], path: Path, frames: int, converted: set[str]
) -> Any:
    """A state for each frame; None: there is none."""
    states = sidecar.get("states")
    if states is None and _has(rows, "state"):
        states = _vectors(rows, "state", path)
        if frames > len(rows):  # none is known of the last frame
            states = [*states, states[-1]]
            converted.add("a frame without a row to one with the state of the last row")
    if states is None:
        return None
    try:
        return np.array(states, np.float32).reshape(frames, -1)
    except (TypeError, ValueError) as error:
        raise InvalidEpisode(
            f"the states of {path} must be {frames} vectors of numbers, one for each frame: {error}"
        ) from error


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


def _actions(values: list[Any], dtype: Any, path: Path) -> np.ndarray:
    try:
        return np.array(values, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidAction(f"the actions of {path} are no arrays of {dtype}: {error}") from error


def _axes(rows: Iterable[Row], name: str) -> set[int]:
    """The numbers of the columns that hold one number each of a vector."""
    begin = f"{name}_"
    keys = {key for row in rows for key in row if key.startswith(begin)}
    return {int(key[len(begin) :]) for key in keys if key[len(begin) :].isdecimal()}


def _has(rows: list[Row], name: str) -> bool:
    return name in rows[0] or bool(_axes(rows, name))


def _vectors(rows: list[Row], name: str, path: Path, *, parse: bool = True) -> list[Any]:
    """A column of vectors, numbers or words: in one cell, or a number in each of several."""
    axes = _axes(rows, name)
    if not _has(rows, name):
        raise InvalidEpisode(f"{path} has no column {name!r} nor {name}_0; it has: {list(rows[0])}")
    if name in rows[0] and axes:
        raise InvalidEpisode(f"{path} has both a column {name!r} and {name}_{min(axes)}: keep one")
    if lacking := set(range(max(axes, default=0))) - axes:
        raise InvalidEpisode(f"{path} has {name}_{max(axes)}, but no {name}_{min(lacking)}")
    keys = [f"{name}_{axis}" for axis in sorted(axes)] or [name]
    found = []
    for number, row in enumerate(rows):
        values = [_value(row.get(key), parse=parse) for key in keys]
        if any(value is None or value in ("", []) for value in values):
            raise InvalidAction(f"row {number} of {path} has no {name}")
        found.append(values if axes else values[0])
    if len({_shape(value) for value in found}) > 1:
        raise InvalidAction(
            f"the column {name!r} of {path} has rows of several widths, or numbers and words"
        )
    return found


def _shape(value: Any) -> Any:
    """What the rows of a column must share: their shape, and whether they are words."""
    array = np.array(value, object)
    return array.shape, {isinstance(each, str) for each in array.reshape(-1)} == {True}


def _value(cell: Any, *, parse: bool) -> Any:
    """What a cell holds: a number, a list of them, or words."""
    if not (parse and isinstance(cell, str)):
        return cell
    if _NUMBER.fullmatch(cell.strip()):
        return _whole_or_not(cell.strip())
    try:
        return json.loads(cell) if cell else None
    except ValueError:
        return cell


def _whole_or_not(cell: str) -> int | float:
    return int(cell) if cell.lstrip("+-").isdecimal() else float(cell)


def _numbers(rows: list[Row], name: str, path: Path) -> np.ndarray | None:
    if name not in rows[0]:
        return None
    read = {"seed": _seed, "success": _flag}.get(name, _number)
    dtype = np.int64 if name == "seed" else np.float64
    try:
        return np.array([read(row.get(name)) for row in rows], dtype)
    except (TypeError, ValueError, OverflowError, KeyError) as error:
        raise InvalidEpisode(f"the column {name!r} of {path} is no number: {error}") from error


def _number(cell: Any) -> float:
    return float("nan") if cell in (None, "") else float(cell)


def _flag(cell: Any) -> float:
    return float("nan") if cell in (None, "") else float(_FLAGS[str(cell).lower()])


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
