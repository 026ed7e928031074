"""Writes one episode to disk while it happens."""

from __future__ import annotations

import errno
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import numpy as np
import zarr

from chronosim.episodes.layout import PER_OBSERVATION, SCALARS, SCHEMA
from chronosim.episodes.step import Step
from chronosim.errors import (
    EpisodeExists,
    EpisodeWriteError,
    InvalidAction,
    InvalidConfig,
    InvalidEpisode,
    InvalidFrame,
)
from chronosim.types import Observation

__all__ = ["EpisodeWriter"]

_RESERVE = 32  # steps reserved ahead: growing an array rewrites its metadata


class EpisodeWriter:
    """Appends steps to one episode; every committed step survives the writer's death.

    The episode is drafted in a hidden folder beside its own and appears by one renaming. A step is
    written array by array, then the committed length is raised in one atomic file replacement;
    readers look no further than that length, so a step is there whole or not at all.

    Args:
        path: The episode's folder; it must not exist.
        first: The observation the episode begins with.
        about: What makes the episode (model identity, prompter, scenario, seed, lineage ...):
            JSON values only.

    Raises:
        EpisodeExists: `path` is there already.
        EpisodeWriteError: The disk refuses; nothing is left behind.
        InvalidConfig: `about` holds something that is no JSON value.
    """

    def __init__(self, path: str | Path, first: Observation, about: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.steps = 0
        self._reserved = 0
        self._arrays: dict[str, zarr.Array[Any]] = {}
        if self.path.exists():
            raise EpisodeExists(f"there is an episode at {self.path} already; nothing was written")
        _check_json(about)
        draft = self.path.with_name(f".{self.path.name}.{uuid4().hex}")
        try:
            self._create(draft, first, about)
            draft.rename(self.path)
            self._group = zarr.open_group(self.path, mode="r+", use_consolidated=False)
            self._arrays = dict(self._group.arrays())
        except OSError as error:
            _discard(draft)
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):  # another process was faster
                raise EpisodeExists(f"there is an episode at {self.path} already") from error
            raise EpisodeWriteError(f"cannot begin the episode {self.path}: {error}") from error

    def append(self, step: Step) -> None:
        """Writes one step and commits it.

        Raises:
            InvalidFrame: The step's frames are of another size than the episode's.
            InvalidEpisode: The commanded state is of another shape than the episode's.
            InvalidAction: The action is neither numbers nor a string, or has another shape or kind
                than the first one.
            EpisodeWriteError: The disk refuses; all earlier steps stay readable.
        """
        self._check(step)
        try:
            self._reserve(step)
            self._write(step)
            self._group.attrs["steps"] = self.steps + 1  # the commit: one atomic replacement
        except OSError as error:
            raise EpisodeWriteError(
                f"step {self.steps} of {self.path} could not be written ({error}); "
                f"the {self.steps} steps before it are whole"
            ) from error
        self.steps += 1

    def close(self) -> None:
        """Gives back the reserved space and marks the episode as finished.

        Raises:
            EpisodeWriteError: The disk refuses; the committed steps stay readable.
        """
        try:
            self._resize(self.steps)
            self._group.attrs["finished"] = True
        except OSError as error:
            raise EpisodeWriteError(f"cannot finish the episode {self.path}: {error}") from error

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

    def _create(self, draft: Path, first: Observation, about: Mapping[str, Any]) -> None:
        self._group = zarr.create_group(
            draft,
            attributes={"schema": SCHEMA, "steps": 0, "finished": False, "about": dict(about)},
        )
        for name, value in (("frames", first.frame), ("states", first.state)):
            self._new(name, value.shape, value.dtype)[0] = value
        for name, dtype in SCALARS.items():
            self._new(name, (), dtype)

    def _new(self, name: str, shape: tuple[int, ...], dtype: Any) -> zarr.Array[Any]:
        # Zarr chunks cannot be empty, but a prompter without state has states of shape (0,).
        array = self._arrays[name] = self._group.create_array(
            name,
            shape=(self._length(name, self._reserved), *shape),
            chunks=(1, *(max(1, size) for size in shape)),
            dtype=dtype,
            overwrite=True,  # the disk may have refused in the middle of a first step
        )
        return array

    def _length(self, name: str, steps: int) -> int:
        return steps + 1 if name in PER_OBSERVATION else steps

    def _check(self, step: Step) -> None:
        size, state = self._arrays["frames"].shape[1:], self._arrays["states"].shape[1:]
        for frame in (step.prediction.frame, step.after.frame):
            if frame.shape != size:
                raise InvalidFrame(
                    f"this episode's frames are {size}, but a step has {frame.shape}"
                )
        if step.after.state.shape != state:
            raise InvalidEpisode(
                f"this episode's states are of shape {state}, but a step has one of "
                f"{step.after.state.shape}"
            )
        action = np.asarray(step.action)
        if action.dtype.kind not in "biufUS":
            raise InvalidAction(f"an action must be numbers or a string, not {step.action!r}")
        if self.steps == 0:
            return
        known = self._arrays["action"]
        if known.shape[1:] != action.shape or not _fits(action.dtype, known.dtype):
            raise InvalidAction(
                f"this episode's actions are {known.dtype} of shape {known.shape[1:]}, "
                f"but a step has {step.action!r}"
            )

    def _reserve(self, step: Step) -> None:
        if self.steps == 0:
            action = np.asarray(step.action)
            dtype = "string" if action.dtype.kind in "US" else action.dtype
            between = step.prediction.trajectory[:-1]
            self._new("action", action.shape, dtype)
            self._new("between", between.shape, between.dtype)
            self._new("between_length", (), "int64")
        if self.steps == self._reserved:
            self._resize(self._reserved + _RESERVE)

    def _resize(self, steps: int) -> None:
        for name, array in self._arrays.items():
            array.resize((self._length(name, steps), *array.shape[1:]))
        self._reserved = steps

    def _write(self, step: Step) -> None:
        at, between = self.steps, step.prediction.trajectory[:-1]
        stored = self._arrays["between"]
        if len(between) > stored.shape[1]:
            stored.resize((stored.shape[0], len(between), *stored.shape[2:]))
        if len(between):
            stored[at, : len(between)] = between
        self._arrays["between_length"][at] = len(between)
        self._arrays["action"][at] = np.asarray(step.action)[()]
        self._arrays["frames"][at + 1] = step.after.frame
        if step.after.state.size:
            self._arrays["states"][at + 1] = step.after.state
        for name in SCALARS:
            self._arrays[name][at] = getattr(step, name)


def _discard(draft: Path) -> None:
    """Removes a draft for good: zarr's threads may still end writes begun before the error."""
    for _ in range(50):
        shutil.rmtree(draft, ignore_errors=True)
        time.sleep(0.01)
        if not draft.exists():
            return


def _fits(dtype: np.dtype[Any], known: np.dtype[Any]) -> bool:
    """Whether actions of `dtype` can be kept as `known` without losing their kind."""
    if dtype.kind in "US" or known.kind == "T":
        return dtype.kind in "US" and known.kind == "T"
    return np.can_cast(dtype, known, "same_kind")


def _check_json(about: Mapping[str, Any]) -> None:
    try:
        json.dumps(dict(about))
    except (TypeError, ValueError) as error:
        raise InvalidConfig(
            f"what is said about an episode must be JSON values ({error}): {about!r}"
        ) from error
