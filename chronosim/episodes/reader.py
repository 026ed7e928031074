"""Reads an episode back: finished, live or broken off, always up to its committed length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8
from upath import UPath

from chronosim.episodes.arrays import Content, Stored
from chronosim.episodes.layout import COLUMNS, LIVE, SCHEMA, Row, Trajectories, action_array
from chronosim.episodes.place import as_place, locate, named, read_attributes
from chronosim.errors import InvalidEpisode
from chronosim.settings.renamed import rename_log
from chronosim.types import Frame, Observation, Prediction, Step, Trajectory

T = TypeVar("T")


class EpisodeReader:
    """One episode on disk, as it stood when it was opened.

    Args:
        path: The episode's folder, or a URL of it; its draft, while it has no name yet, is found by
            its name too.

    Attributes:
        path: The episode, where it lies when it is finished.
        place: Where it lay when it was opened: `path`, or a draft beside it.
        steps: Committed steps.
        finished: Whether its writer closed it.
        failure: Why its writer gave it up; None if it did not.
        compacted: Whether it lies in few files.
        trajectories: How the frames between two observations are kept; `video` gives them back
            nearly, not exactly, and `none` not at all.
        schema: Version of its layout.
        about: What made the episode, as its writer said, in the names of today.

    Raises:
        EpisodeNotFound: There is no episode at `path`.
        InvalidEpisode: Its schema is not this chronosim's, or it is no episode. Every
            method raises it too, if what is asked for is damaged.
    """

    def __init__(self, path: str | Path | UPath) -> None:
        self.place = locate(as_place(path))
        self.path = named(self.place)
        attributes = read_attributes(self.place)
        self.schema = attributes["schema"]
        if self.schema != SCHEMA:
            raise InvalidEpisode(
                f"{self.path} has schema {self.schema}, but this chronosim reads schema {SCHEMA}: "
                "another one wrote it"
            )
        self.steps = int(attributes["steps"])
        self.finished = bool(attributes["finished"])
        self.failure: str | None = attributes.get("failure")
        self.trajectories: Trajectories = attributes.get("trajectories", "lossless")
        self.about: Mapping[str, Any] = rename_log(attributes["about"])
        self._data = attributes["data"]
        self.compacted = self._data != LIVE
        self._stored = Stored(self.place, attributes)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Step]:
        before = self.observation(0)
        for index in range(self.steps):
            step = self._step(index, before)
            before = step.after
            yield step

    @property
    def frames(self) -> UInt8[np.ndarray, "{self.steps}+1 height width 3"]:
        """All observed frames: uint8 (T + 1, height, width, 3)."""
        return self.window(0, self.steps + 1)

    @property
    def states(self) -> Float32[np.ndarray, "{self.steps}+1 n"]:
        """All commanded states: float32 (T + 1, n)."""
        return np.array([row.state for row in self._rows], np.float32)

    @property
    def lengths(self) -> Int64[np.ndarray, " {self.steps}"]:
        """How many frames each trajectory has, its outcome included: int64 (T,)."""
        return np.array([row.between + 1 for row in self._rows[1:]], np.int64)

    def window(self, start: int, stop: int) -> UInt8[np.ndarray, "{stop}-{start} height width 3"]:
        """Observed frames `start` to `stop` - 1, and no more of them is read.

        Raises:
            InvalidEpisode: There are no such frames.
        """
        self._check(start, stop)
        self._check(stop - 1, self.steps)
        return self._read(lambda stored: stored.frames(start, stop))

    def column(self, name: str) -> np.ndarray:
        """One column: action, text, seed, reward, terminated ... (T entries), frames (T + 1) ...

        `between` holds the frames strictly between two observations, (T, time, height, width, 3),
        zeros after the last of a step, and `between_length` how many a step has.

        Raises:
            InvalidEpisode: An episode has no such column.
        """
        if name not in COLUMNS:
            raise InvalidEpisode(f"{self.path} has no array {name!r}; it has: {', '.join(COLUMNS)}")
        if name in ("frames", "states"):
            return self.frames if name == "frames" else self.states
        if name == "between":
            return self._read(lambda stored: stored.between(0, self.steps))
        if name == "between_length":
            return self.lengths - 1
        values = [getattr(row, name) for row in self._rows[1:]]
        if name == "action":
            kind = self._stored.action() or {"dtype": "float64", "shape": []}
            return action_array(values, kind["dtype"], tuple(kind["shape"]))
        return np.array(values, _DTYPES[name])

    @property
    def success(self) -> Float64[np.ndarray, " steps"]:
        """Whether the goal was reached after each step, 1 or 0; NaN where none is known."""
        return np.array([row.success for row in self._rows[1:]], np.float64)

    @property
    def told(self) -> frozenset[str]:
        """Which of `success`, `metrics` and `truncation_reason` some of its steps have."""
        return frozenset(
            name
            for name in ("success", "metrics", "truncation_reason")
            if any(getattr(row, name) not in (None, {}) for row in self._rows[1:])
        )

    def observation(self, index: int) -> Observation:
        """The observation before step `index` (0 to T, T being the last one).

        Its `step` counts from where the world began, so that of a fork goes on from its parent's.

        Raises:
            InvalidEpisode: `index` is out of range.
        """
        self._check(index, self.steps)
        frame, state = self.window(index, index + 1)[0], self._rows[index].state
        return Observation(frame, np.array(state, np.float32), self.first_step + index)

    def trajectory(self, index: int) -> Trajectory:
        """The frames of step `index` after its observation, the outcome last.

        Raises:
            InvalidEpisode: `index` is out of range.
        """
        self._check(index, self.steps - 1)
        between = self._read(lambda stored: stored.between(index, index + 1))[0]
        return np.concatenate([between, self.window(index + 1, index + 2)])

    def trajectories_of(self, start: int, stop: int) -> UInt8[np.ndarray, "n time height width 3"]:
        """The trajectories of steps `start` to `stop` - 1 side by side, all of one length.

        Raises:
            InvalidEpisode: Their lengths differ, or there are no such steps.
        """
        self._check(start, stop)
        self._check(stop - 1, self.steps - 1)
        lengths = sorted(set(self.lengths[start:stop].tolist()))
        if len(lengths) > 1:
            raise InvalidEpisode(
                f"steps {start} to {stop - 1} of {self.path} have trajectories of several lengths: "
                f"{', '.join(map(str, lengths))}"
            )
        between = self._read(lambda stored: stored.between(start, stop))
        return np.concatenate([between, self.window(start + 1, stop + 1)[:, None]], axis=1)

    def step(self, index: int) -> Step:
        """Step `index`, 0 to T - 1.

        Raises:
            InvalidEpisode: `index` is out of range.
        """
        self._check(index, self.steps - 1)
        return self._step(index, self.observation(index))

    def _step(self, index: int, before: Observation) -> Step:
        trajectory, row = self.trajectory(index), self._rows[index + 1]
        kind = self._stored.action()
        assert kind is not None
        action = action_array([row.action], kind["dtype"], tuple(kind["shape"]))[0]
        frame: Frame = trajectory[-1].copy()
        return Step(
            before=before,
            action=action if kind["shape"] else np.asarray(action).item(),
            text=row.text,
            seed=row.seed,
            prediction=Prediction(trajectory, metrics=row.metrics),
            after=Observation(frame, np.array(row.state, np.float32), self.first_step + index + 1),
            reward=row.reward,
            terminated=row.terminated,
            truncated=row.truncated,
            latency=row.latency,
            truncation_reason=row.truncation_reason,
            success=row.success,
        )

    def _check(self, index: int, last: int) -> None:
        if not 0 <= index <= last:
            raise InvalidEpisode(f"{self.path} has {self.steps} steps; there is no index {index}")

    @property
    def first_step(self) -> int:
        """How many steps lie before its first observation: of a fork, and behind a repaired gap."""
        repaired = self.about.get("repaired")
        behind = repaired.get("step", 0) if isinstance(repaired, Mapping) else 0
        return int(self.about.get("first_step", 0)) + int(behind)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of its frames, pixels; no frame is read."""
        return self._read(lambda stored: stored.frame_size())

    @property
    def action_kind(self) -> tuple[str, tuple[int, ...]] | None:
        """What its actions are, `numbers` or `words`, and their shape; None before the first."""
        kind = self._read(lambda stored: stored.action())
        if kind is None:
            return None
        return "words" if kind["dtype"] == "string" else "numbers", tuple(kind["shape"])

    @property
    def _rows(self) -> Sequence[Row]:
        return self._read(lambda stored: stored.rows())

    def _read(self, what: Callable[[Content], T]) -> T:
        """Reads; once more from where it lies now, if it was named or compacted meanwhile."""
        try:
            return what(self._stored)
        except (InvalidEpisode, FileNotFoundError):
            place = locate(self.place)
            attributes = read_attributes(place)
            moved = (place, attributes["data"]) != (self.place, self._data)
            if not moved or attributes["steps"] < self.steps:
                raise
            self.place, self._data = place, attributes["data"]
            self._stored = Stored(place, {**attributes, "steps": self.steps})
            return what(self._stored)


_DTYPES: Mapping[str, Any] = {
    "text": np.dtypes.StringDType(),
    "seed": np.int64,
    "reward": np.float64,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "latency": np.float64,
}
