"""Writes one episode to disk while it happens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, cast, get_args
from uuid import uuid4

import numpy as np
import zarr
from upath import UPath

from chronosim.episodes.compaction import compact, gathered
from chronosim.episodes.layout import (
    COMPACT,
    LIVE,
    SCHEMA,
    Row,
    Trajectories,
    new_array,
    row_of,
)
from chronosim.episodes.place import (
    Place,
    as_place,
    discard,
    draft_of,
    drafts,
    give_name,
    named,
    open_group,
    remove,
    store,
)
from chronosim.errors import (
    EpisodeExists,
    EpisodeWriteError,
    InvalidAction,
    InvalidConfig,
    InvalidEpisode,
    InvalidFrame,
)
from chronosim.types import Observation, Step

_RESERVE = 1000  # steps reserved ahead: growing an array rewrites its metadata, space costs nothing
_RECORDS = 32  # rows of the records in one file: a small file, written again with every step
_CLIP = 2**16  # bytes of a video in one file


class EpisodeWriter:
    """Appends steps to one episode; every committed step survives the writer's death.

    The episode is written in a draft beside its own folder, where `EpisodeReader` finds it by its
    name, and gets that name by one renaming when it is closed. A step is written array by array,
    then the committed length is raised in one atomic file replacement; readers look no further
    than that length, so a step is there whole or not at all. Closing also gathers the many small
    files of a live episode in a few larger ones.

    Args:
        path: The episode's folder, or a URL of it; it must not exist.
        first: The observation the episode begins with; a fork's counts on from before it, which
            `about` then says as `first_step`.
        about: What makes the episode (model identity, prompter, scenario, seed, lineage ...):
            JSON values only.
        trajectories: How the frames between two observations are kept: `lossless`; as `video`
            (H.264, a tenth of the size, nearly the same); or `none` at all. Observed frames are
            always lossless.
        compact: Whether `close` gathers the episode in few files.
        rivals: Whether others may be attempting the same episode; the first to be closed gets the
            name, and what is left of the others is removed. False: the name is this writer's from
            the beginning on.

    Attributes:
        path: The episode, where it lies when it is finished.
        place: Where it lies now.
        steps: Committed steps.

    Raises:
        EpisodeExists: `path` is there already, or, without rivals, a draft of it.
        EpisodeWriteError: The disk refuses; nothing is left behind.
        InvalidConfig: `about` holds something that is no JSON value, or there is no such way to
            keep trajectories.
    """

    def __init__(
        self,
        path: str | Path | UPath,
        first: Observation,
        about: Mapping[str, Any],
        *,
        trajectories: Trajectories = "lossless",
        compact: bool = True,
        rivals: bool = False,
    ) -> None:
        self.path = as_place(path)
        self.steps = 0
        self._rivals = rivals
        check_about(about)
        if self.path.exists():
            raise EpisodeExists(f"there is an episode at {self.path} already; nothing was written")
        self._trajectories, self._compact = check_trajectories(trajectories), compact
        self._frame, self._state = first.frame.shape, first.state.shape
        self._action: dict[str, Any] | None = None
        self._tail = [Row(first.state.tolist()).dumps()]  # the rows of the last file of records
        begun = {"first_step": first.step} if first.step else {}
        self.place = self._begin(first, {"trajectories": trajectories, "about": {**about, **begun}})
        with self._attempt():
            self._group = open_group(self.place)
            # An array opened again has forgotten that its chunks of zeros are to be written.
            self._arrays: dict[str, zarr.Array[Any]] = {
                name: self._data[name].with_config({"write_empty_chunks": True})
                for name in ("frames", "records")
            }

    def append(self, step: Step) -> None:
        """Writes one step and commits it.

        Raises:
            InvalidFrame: The step's frames are of another size than the episode's.
            InvalidEpisode: The commanded state is of another shape than the episode's.
            InvalidAction: The action is neither numbers nor a string, or has another shape or kind
                than the first one.
            EpisodeExists: Another attempt was finished first; this one is removed.
            EpisodeWriteError: The disk refuses; all earlier steps stay readable.
        """
        action = check_step(step, self._frame, self._state, self._action)
        try:
            with self._attempt():
                tail = self._write(step, action["dtype"])
                # The commit: one atomic replacement (attrs.update would make it one for each name).
                self._group.update_attributes({"steps": self.steps + 1, "action": action})
        except (EpisodeExists, EpisodeWriteError):
            raise
        except OSError as error:
            raise EpisodeWriteError(
                f"step {self.steps} of {self.path} could not be written ({error}); "
                f"the {self.steps} steps before it are whole"
            ) from error
        self._tail, self._action = tail, action
        self.steps += 1

    def close(self) -> None:
        """Marks the episode as finished, gives it its name, and gathers it in few files.

        Raises:
            EpisodeExists: Another attempt was finished first; this one is removed.
            EpisodeWriteError: The disk refuses; the committed steps stay readable.
        """
        try:
            with self._attempt():
                # zarr remembers a commit that the disk refused: say again how many steps there are.
                self._group.update_attributes({"steps": self.steps, "finished": True})
                if isinstance(self.place, Path):
                    give_name(self.place, named(self.place))
        except (EpisodeExists, EpisodeWriteError):
            raise
        except OSError as error:
            raise EpisodeWriteError(f"cannot finish the episode {self.path}: {error}") from error
        self.place = self.path
        if self._rivals and isinstance(self.path, Path):
            for other in drafts(self.path):
                discard(other)
        if self._compact:
            compact(self.path)

    def give_up(self, why: str) -> None:
        """Leaves the episode unfinished for good; what was committed stays readable.

        Args:
            why: A sentence for whoever finds it.

        Raises:
            EpisodeWriteError: The disk refuses.
        """
        try:
            self._group.update_attributes({"steps": self.steps, "failure": why})
        except OSError as error:
            raise EpisodeWriteError(f"cannot mark the episode {self.path}: {error}") from error

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # An episode broken off by an error stays as it is: readable, and not marked as finished.
        if error is None:
            self.close()

    def _begin(self, first: Observation, attributes: Mapping[str, Any]) -> Place:
        """Writes the first observation; whoever looks sees nothing, or an episode of no step."""
        # Object stores cannot rename: there the episode appears with its attributes, written last.
        draft = draft_of(self.path, uuid4().hex) if isinstance(self.path, Path) else self.path
        try:
            self._create(draft, first, attributes)
            if isinstance(draft, Path) and not self._rivals:
                draft = _reserved(draft, named(draft))
        except EpisodeExists:
            raise
        except OSError as error:
            discard(draft) if isinstance(draft, Path) else remove(draft)
            raise EpisodeWriteError(f"cannot begin the episode {self.path}: {error}") from error
        return draft

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        """Writes while this is the attempt that counts; who finished first removes this one."""
        self._check_place()
        try:
            yield
        except Exception:
            self._check_place()
            raise

    def _check_place(self) -> None:
        if not isinstance(self.place, Path):
            return
        if self.place != self.path and self.path.exists():
            discard(self.place)
            raise EpisodeExists(
                f"another attempt at {self.path} was finished first; this one, of {self.steps} "
                "steps, is dropped"
            )
        if not (self.place / "zarr.json").is_file():
            raise EpisodeWriteError(f"{self.place} was removed while it was being written")

    def _create(self, draft: Place, first: Observation, attributes: Mapping[str, Any]) -> None:
        data = zarr.create_group(store(draft / LIVE))
        rows = _RESERVE + 1
        frames = new_array(data, "frames", (rows, *self._frame), (1, *self._frame))
        frames[0] = first.frame
        records = new_array(data, "records", (rows,), (_RECORDS,), dtype="string")
        records[:_RECORDS] = _column(self._tail)
        progress = {"schema": SCHEMA, "steps": 0, "finished": False, "data": LIVE}
        zarr.create_group(store(draft), attributes={**progress, **attributes})

    @property
    def _data(self) -> Any:
        return self._group[LIVE]

    def _write(self, step: Step, dtype: str) -> list[str]:
        """Writes a step behind the committed ones; gives the rows of the last file of records."""
        at, between = self.steps, step.prediction.trajectory[:-1]
        clip = b""
        if self._trajectories == "none":
            between = between[:0]
        elif self._trajectories == "video" and len(between):
            from chronosim.episodes.clips import encode_clip  # PyAV: only those who ask for it wait

            clip = encode_clip(between)
            self._put("clips", at, np.frombuffer(clip, np.uint8), _CLIP)
        elif len(between):
            self._put("between", at, between, len(between))
        self._grow("frames", at + 2)[at + 1] = step.after.frame
        row = row_of(step, dtype, between=len(between), clip=len(clip)).dumps()
        first = (at + 1) // _RECORDS * _RECORDS
        tail = [*self._tail, row] if first == at // _RECORDS * _RECORDS else [row]
        records = self._grow("records", first + _RECORDS)
        records[first : first + _RECORDS] = _column(tail)
        return tail

    def _put(self, name: str, at: int, values: np.ndarray, chunk: int) -> None:
        """Writes values of any length as row `at` of an array that grows with the longest."""
        if name not in self._arrays:
            shape = (max(_RESERVE, at + 1), chunk, *values.shape[1:])
            self._arrays[name] = new_array(self._data, name, shape, (1, *shape[1:]))
        array = self._grow(name, at + 1)
        chunk = array.chunks[1]
        length = -(-len(values) // chunk) * chunk  # whole chunks: nothing needs to be read first
        if length > array.shape[1]:
            array.resize((array.shape[0], length, *array.shape[2:]))
        row = np.zeros((length, *values.shape[1:]), np.uint8)
        row[: len(values)] = values
        array[at, :length] = row

    def _grow(self, name: str, rows: int) -> Any:
        array = self._arrays[name]
        if rows > array.shape[0]:
            array.resize((max(rows, 2 * array.shape[0]), *array.shape[1:]))
        return array


def write_at_once(
    path: Path, first: Observation, steps: Iterable[Step], count: int, about: Mapping[str, Any]
) -> None:
    """Writes an episode of known length in few files, far faster than an `EpisodeWriter`.

    For what can be made again: nothing of it can be read before all is written, and an error leaves
    nothing. At most 64 MiB of frames, and as much of what lies between them, are in memory.

    Args:
        path: The episode's folder; it must not exist.
        first: As of `EpisodeWriter`.
        steps: Its steps, their trajectories all of one length.
        count: How many they are, >= 1.
        about: As of `EpisodeWriter`.

    Raises:
        EpisodeExists: `path` is there already.
        EpisodeWriteError: The disk refuses.
        InvalidConfig: `about` holds something that is no JSON value.
        InvalidEpisode: There are not `count` steps, or a state or trajectory is of another shape.
        InvalidAction: As of `EpisodeWriter.append`.
        InvalidFrame: As of `EpisodeWriter.append`.
    """
    check_about(about)
    if path.exists():
        raise EpisodeExists(f"there is an episode at {path} already; nothing was written")
    draft, name = draft_of(path, uuid4().hex), f"{COMPACT}{uuid4().hex[:8]}"
    begun = {"first_step": first.step} if first.step else {}
    told: dict[str, Any] = {"schema": SCHEMA, "steps": count, "finished": True, "data": name}
    told |= {"trajectories": "lossless", "about": {**about, **begun}}
    try:
        action = _gather(zarr.create_group(store(draft / name)), first, steps, count, path)
        zarr.create_group(store(draft), attributes={**told, "action": action})
        give_name(draft, path)
    except OSError as error:
        if isinstance(error, EpisodeExists):
            raise
        raise EpisodeWriteError(f"{path} could not be written: {error}") from error
    finally:
        discard(draft)


def _gather(
    data: zarr.Group, first: Observation, steps: Iterable[Step], count: int, path: Path
) -> dict[str, Any]:
    """Writes the arrays of an episode; gives the kind of its actions."""
    shape, rows = first.frame.shape, [Row(first.state.tolist())]
    frames, between = _Block(data, "frames", (count + 1, *shape)), None
    frames.add(first.frame)
    action: dict[str, Any] = {}
    for step in steps:
        action = check_step(step, shape, first.state.shape, action or None)
        way = step.prediction.trajectory[:-1]
        if len(rows) == 1 and len(way):
            between = _Block(data, "between", (count, *way.shape))
        if len(rows) > count or len(way) != (between.row[0] if between else 0):
            raise InvalidEpisode(f"step {len(rows) - 1} of {path} is too many, or too long")
        if between is not None:
            between.add(way)
        frames.add(step.after.frame)
        rows.append(row_of(step, action["dtype"], between=len(way), clip=0))
    if len(rows) <= count:
        raise InvalidEpisode(f"{path} has {len(rows) - 1} steps, not {count}")
    texts = np.array([row.dumps() for row in rows], np.dtypes.StringDType())
    new_array(data, "records", texts.shape, texts.shape, dtype="string")[:] = texts
    return action


class _Block:
    """Rows of a new array, written whole files at a time."""

    def __init__(self, data: zarr.Group, name: str, shape: tuple[int, ...]) -> None:
        self._array = gathered(data, name, shape)
        self.row = shape[1:]
        rows = min(shape[0], self._array.shards[0] if self._array.shards else shape[0])
        self._rows, self._held, self._written = np.empty((rows, *self.row), np.uint8), 0, 0

    def add(self, row: np.ndarray) -> None:
        """Takes the next row; the last one of the array ends it."""
        self._rows[self._held] = row
        self._held += 1
        end = self._written + self._held
        if self._held == len(self._rows) or end == self._array.shape[0]:
            self._array[self._written : end] = self._rows[: self._held]
            self._held, self._written = 0, end


def _reserved(draft: Path, path: Path) -> Path:
    """Makes a draft the only one; the name is looked for last, as whoever had it may finish."""
    only = draft_of(path)
    try:
        give_name(draft, only)
    except EpisodeExists as error:
        raise EpisodeExists(
            f"an episode {path} is being written, or was broken off, in {only}: let its writer "
            "end, or remove it"
        ) from error
    if path.exists():
        discard(only)
        raise EpisodeExists(f"there is an episode at {path} already")
    return only


def _column(rows: list[str]) -> np.ndarray:
    """One file of records: what is not there yet is empty."""
    return np.array(rows + [""] * (_RECORDS - len(rows)), np.dtypes.StringDType())


def check_step(
    step: Step,
    frame: tuple[int, ...],
    state: tuple[int, ...],
    action: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Holds a step to the episode that it is appended to.

    Args:
        step: The step.
        frame: Shape of the episode's frames.
        state: Shape of its states.
        action: dtype and shape of its actions; None: this step decides.

    Returns:
        dtype and shape of the episode's actions from now on.

    Raises:
        InvalidFrame: A frame is of another size.
        InvalidEpisode: The commanded state is of another shape.
        InvalidAction: The action is neither numbers nor a string, of another shape or kind, or too
            large a whole number for the kind.
    """
    for found in (step.prediction.frame, step.after.frame):
        if found.shape != frame:
            raise InvalidFrame(f"this episode's frames are {frame}, but a step has {found.shape}")
    if step.after.state.shape != state:
        raise InvalidEpisode(
            f"this episode's states are of shape {state}, but a step has one of "
            f"{step.after.state.shape}"
        )
    values = _values(step.action)
    if values.dtype.kind not in "biufUS":
        raise InvalidAction(f"an action must be numbers or a string, not {step.action!r}")
    dtype = "string" if values.dtype.kind in "US" else str(values.dtype)
    kind: dict[str, Any] = dict(action or {"dtype": dtype, "shape": list(values.shape)})
    if kind["shape"] != list(values.shape) or not _fits(values, kind["dtype"]):
        raise InvalidAction(
            f"this episode's actions are {kind['dtype']} of shape {tuple(kind['shape'])}, "
            f"but a step has {step.action!r}"
        )
    return kind


def check_about(about: Mapping[str, Any]) -> None:
    """Refuses what JSON cannot hold.

    Raises:
        InvalidConfig: A value is no JSON value.
    """
    try:
        json.dumps(dict(about))
    except (TypeError, ValueError) as error:
        raise InvalidConfig(
            f"what is said about an episode must be JSON values ({error}): {about!r}"
        ) from error


def check_trajectories(kept: str) -> Trajectories:
    """Refuses a way to keep trajectories that there is not.

    Raises:
        InvalidConfig: There is no such way.
    """
    for known in get_args(Trajectories):
        if kept == known:
            return cast("Trajectories", known)
    raise InvalidConfig(
        f"trajectories are kept as one of {', '.join(get_args(Trajectories))}, not {kept!r}"
    )


def _values(action: Any) -> np.ndarray:
    try:
        return np.asarray(action)
    except ValueError as error:
        raise InvalidAction(f"an action must have rows of one width, not {action!r}") from error


def _fits(values: np.ndarray, known: str) -> bool:
    """Whether an action can be kept as `known` without losing its kind, or whole numbers."""
    words = values.dtype.kind in "US"
    if words or known == "string":
        return words and known == "string"
    if not np.can_cast(values.dtype, known, "same_kind"):
        return False
    if values.dtype.kind == "f":
        return True  # a float may lose digits, but a whole number would become another
    with np.errstate(invalid="ignore"):
        return bool((values.astype(known).astype(values.dtype) == values).all())
