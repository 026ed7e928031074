"""One episode as columns that lie side by side: what the rows of every format are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from tqdm import tqdm

from chronosim.errors import (
    EpisodeNotFound,
    InvalidAction,
    InvalidConfig,
    InvalidEpisode,
    InvalidFrame,
)
from chronosim.types import Frame

EXACT, LAST = "every pixel as it was", "the last observation"
CONTENTS = frozenset(
    (
        "frames", EXACT, LAST, "states", "texts", "rewards", "whether it terminated",
        "whether it was truncated", "seeds", "latencies", "where it comes from",
    )
)  # fmt: skip
"""All that an episode may have to lose, in the words of a report; a format holds some of it."""
SUCCESS = "whether it succeeded"
"""The same, for which fewer formats have a place."""

OF_ONE_EPISODE = (InvalidEpisode, InvalidFrame, InvalidAction, EpisodeNotFound)
"""What is raised where one episode is wrong, and others may be right."""

SKIP_BAD = "skip_bad=true leaves such episodes out and names them"
"""What helps those who are kept from all episodes by one."""


@dataclass(frozen=True, slots=True)
class FrameSource:
    """Frames in order, read on each iteration.

    Attributes:
        read: Begins to read: gives the frames, RGB uint8 (height, width, 3), all of one size.
    """

    read: Callable[[], Iterator[Frame]]

    def __iter__(self) -> Iterator[Frame]:
        return self.read()


@dataclass(frozen=True, slots=True, eq=False)
class EpisodeColumns:
    """One episode of n rows: in each an observation, and the action taken there.

    Attributes:
        name: What it is called.
        fps: Rows a second; None where nothing has a clock.
        frames: What was seen at each row, and once more after the last one if `closed`.
        states: The states beside the frames, float32; (n + 1, s) if `closed`, else (n, s).
        actions: What was done, (n, ...): numbers, or strings.
        texts: In words.
        rewards: What each row earned.
        terminated: Whether the episode ended with a row.
        truncated: Whether it was cut there.
        seeds: Seeds of the world model's noise; 0 where there was none.
        latency: Seconds the world took to answer; NaN if unknown.
        success: Whether the goal was reached after a row, 1 or 0; NaN if unknown.
        rows_per_step: Rows in one held action: 1, or the length of the trajectories.
        closed: Whether the observation after the last action is known.
        about: What made the episode: JSON values.
        lost: What else the source has of it, for which there is no column; words of a report.
        together: The dtype that holds the actions of all episodes of its data set; None where
            there is none, or nobody has looked at the others.
    """

    name: str
    fps: float | None
    frames: FrameSource
    states: Float32[np.ndarray, "observations state"]
    actions: np.ndarray
    texts: tuple[str, ...]
    rewards: Float64[np.ndarray, " rows"]
    terminated: Bool[np.ndarray, " rows"]
    truncated: Bool[np.ndarray, " rows"]
    seeds: Int64[np.ndarray, " rows"]
    latency: Float64[np.ndarray, " rows"]
    success: Float64[np.ndarray, " rows"]
    rows_per_step: int
    closed: bool
    about: Mapping[str, Any]
    lost: tuple[str, ...] = ()
    together: str | None = None

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames, pixels; reads the first one."""
        height, width = next(iter(self.frames)).shape[:2]
        return height, width

    def contents(self) -> set[str]:
        """Names what there is to lose, in the words of a report."""
        columns: dict[str, Any] = {
            "frames": True,
            EXACT: True,
            LAST: self.closed,
            "states": self.states.size,
            "texts": any(self.texts),
            "rewards": self.rewards.any(),
            "whether it terminated": self.terminated.any(),
            "whether it was truncated": self.truncated.any(),
            "seeds": self.seeds.any(),
            "latencies": np.isfinite(self.latency).any(),
            SUCCESS: np.isfinite(self.success).any(),
            "where it comes from": self.about,
        }
        return {name for name, value in columns.items() if value}


def make_columns(
    name: str,
    frames: FrameSource,
    actions: np.ndarray | Sequence[Any],
    *,
    closed: bool,
    fps: Any = None,
    states: np.ndarray | Sequence[Any] | None = None,
    texts: Sequence[Any] | None = None,
    about: Any = None,
    rows_per_step: int = 1,
    lost: Sequence[str] = (),
    **columns: np.ndarray | None,
) -> EpisodeColumns:
    """Makes a recording of what a format holds; what it does not hold is filled with nothing.

    Whatever a file may say is checked here: numbers, words, the rate, what made it.

    Args:
        name: What it is called.
        frames: As `EpisodeColumns.frames`.
        actions: As `EpisodeColumns.actions`.
        closed: As `EpisodeColumns.closed`.
        fps: As `EpisodeColumns.fps`.
        states: As `EpisodeColumns.states`; None: no state.
        texts: As `EpisodeColumns.texts`; None: no words.
        about: As `EpisodeColumns.about`.
        rows_per_step: As `EpisodeColumns.rows_per_step`.
        lost: As `EpisodeColumns.lost`; states that are no float32 are added to it.
        **columns: `rewards`, `terminated`, `truncated`, `seeds`, `latency`, `success`.

    Raises:
        InvalidAction: The actions are of several widths, not numbers or strings, or not finite.
        InvalidEpisode: A column is not as long as the actions, or would be changed by its dtype
            (states alone are rounded, which `lost` says).
    """
    acted = _check_actions(name, actions)
    if not (rows := len(acted)):
        raise InvalidEpisode(f"{name} has no row")
    state = np.zeros((rows + closed, 0)) if states is None else _numbers(name, "states", states)
    made: dict[str, Any] = {}
    for column, (nothing, dtype) in _COLUMNS.items():
        given = columns.get(column)
        values = np.full(rows, nothing) if given is None else _numbers(name, column, given)
        made[column] = _exactly(name, column, values.reshape(-1), dtype)
    made["texts"] = _check_texts(name, [""] * rows if texts is None else texts)
    for column, values in made.items():
        _check_length(name, column, len(values), rows)
    _check_length(name, "states", len(state), rows + closed)
    if fps is not None and not (isinstance(fps, int | float) and 0 < fps < float("inf")):
        raise InvalidEpisode(f"{name} must have a number of rows a second above 0, not {fps!r}")
    if about is not None and not isinstance(about, Mapping):
        raise InvalidEpisode(f"what made {name} must be a JSON object, not {about!r}")
    state = by_row(state)
    with np.errstate(over="ignore"):
        kept = state.astype(np.float32)
    rounded = [f"digits of states: {state.dtype} became float32"]
    return EpisodeColumns(
        name=name,
        fps=fps,
        frames=frames,
        states=kept,
        actions=acted,
        rows_per_step=rows_per_step,
        closed=closed,
        about=dict(about or {}),
        lost=(*lost, *([] if np.array_equal(kept, state, equal_nan=True) else rounded)),
        **made,
    )


_COLUMNS: Mapping[str, tuple[Any, Any]] = MappingProxyType(
    {
        "rewards": (0.0, np.float64),
        "terminated": (False, np.bool_),
        "truncated": (False, np.bool_),
        "seeds": (0, np.int64),
        "latency": (float("nan"), np.float64),
        "success": (float("nan"), np.float64),
    }
)
"""Columns with a number in each row: what fills them where a format has none, and their dtype."""


def by_row(values: np.ndarray) -> np.ndarray:
    """What each row has, as one vector: (rows, ...) as (rows, n), also where there is no number."""
    return values.reshape(len(values), prod(values.shape[1:]))


def _numbers(name: str, column: str, values: Any) -> np.ndarray:
    """Values as an array of numbers."""
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise InvalidEpisode(f"the {column} of {name} are of several widths") from error
    if found.dtype.kind not in "biuf" or found.ndim == 0:
        raise InvalidEpisode(
            f"the {column} of {name} must be numbers, one entry a row, not {found.dtype} of shape "
            f"{found.shape}"
        )
    return found


def _exactly(name: str, column: str, values: np.ndarray, dtype: Any) -> np.ndarray:
    """Values in a column's dtype; a seed that is not known, NaN, is 0 as one that is not there."""
    if column == "seeds" and values.dtype.kind == "f":
        values = np.where(np.isnan(values), 0, values)
    with np.errstate(invalid="ignore"):
        made = values.astype(dtype)
    changed = made != values
    if column == "success":
        changed = (values != 0) & (values != 1) & ~np.isnan(made)
    if (dtype is not np.float64 or column == "success") and changed.any():
        what = "true or false" if column not in ("seeds",) else "whole numbers of 64 bits"
        row = int(np.argmax(changed))
        raise InvalidEpisode(
            f"the {column} of {name} must be {what}, but row {row} has {values[row]}"
        )
    return made


def _check_texts(name: str, texts: Sequence[Any]) -> tuple[str, ...]:
    """Refuses what is no text, and characters that no file can hold."""
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidEpisode(f"the words of {name} at row {row} are no text: {text!r}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidEpisode(
                f"the words of {name} at row {row} are no UTF-8: {text!r}"
            ) from error
    return tuple(texts)


def _check_actions(name: str, actions: np.ndarray | Sequence[Any]) -> np.ndarray:
    try:
        found = np.asarray(actions)
    except ValueError as error:
        raise InvalidAction(
            f"the actions of {name} are of several widths, but all of an episode must be alike"
        ) from error
    if found.dtype.kind in "OT" and all(isinstance(action, str) for action in found.reshape(-1)):
        found = np.array(found.tolist(), np.str_)
    if found.dtype.kind not in "biufU" or found.ndim == 0:
        raise InvalidAction(
            f"the actions of {name} are {found.dtype} of shape {found.shape}, not numbers or "
            "strings, one entry a row"
        )
    if found.dtype.kind == "U":
        _check_texts(name, found.reshape(-1).tolist())
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(by_row(found)).all(1)))
        raise InvalidAction(f"the action of {name} at row {row} is not finite: {found[row]}")
    return found


def _check_length(name: str, column: str, length: int, wanted: int) -> None:
    if length != wanted:
        raise InvalidEpisode(f"{name} has {length} {column}, but its actions ask for {wanted}")


_CHOICES = ("drop", "keep")


def check_last(choice: str) -> None:
    """Refuses what is no choice.

    Raises:
        InvalidConfig: It is neither `drop` nor `keep`.
    """
    if choice not in _CHOICES:
        raise InvalidConfig(f"last_observation must be drop or keep, not {choice!r}")


def with_last_row(recording: EpisodeColumns, choice: str) -> EpisodeColumns:
    """Gives the last observation a row of its own, if it is to be kept.

    It is the one that an import could not use, if there was one; else it has the last action and
    the last words again, earns nothing and ends nothing.
    """
    if choice == "drop" or not recording.closed:
        return recording
    row = _own_row(recording.about) or {}
    text = row.get("text")
    recording = _before_the_last(recording, row.get("before"))
    added: dict[str, Any] = {
        "actions": _like(row.get("action"), recording.actions),
        "rewards": _number(row.get("reward", 0.0)),
        "terminated": bool(row.get("terminated", False)),
        "truncated": bool(row.get("truncated", False)),
        "seeds": int(row.get("seed", recording.seeds[-1])),
        "latency": _number(row.get("latency")),
        "success": _number(row.get("success")),
    }
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(recording, name), np.asarray(value)[None]])
        for name, value in added.items()
    }
    texts = (*recording.texts, recording.texts[-1] if text is None else str(text))
    return replace(recording, closed=False, texts=texts, **columns)


def _before_the_last(recording: EpisodeColumns, before: Any) -> EpisodeColumns:
    """Gives the last step the reward and the end that it had alone, as `unused_row` kept them."""
    if not isinstance(before, Mapping):
        return recording
    own = {
        "rewards": _number(before.get("reward")),
        "terminated": bool(before.get("terminated")),
        "truncated": bool(before.get("truncated")),
        "success": _number(before.get("success")),
    }
    columns: dict[str, Any] = {
        name: np.append(getattr(recording, name)[:-1], own[name]) for name in own
    }
    return replace(recording, **columns)


def without_last_row(recording: EpisodeColumns) -> EpisodeColumns:
    """Makes a row that `with_last_row` made up the last observation again; a real one stays."""
    if _own_row(recording.about) is not None:
        return recording
    columns: dict[str, Any] = {
        name: getattr(recording, name)[:-1] for name in ("actions", "texts", *_COLUMNS)
    }
    return replace(recording, closed=True, **columns)


def unused_row(
    recording: EpisodeColumns, *, rows_per_step: int, worded: bool
) -> dict[str, Any] | None:
    """Keeps the row that no step can hold: the last one, where its outcome is not known.

    Args:
        recording: The rows, as steps are made of them.
        rows_per_step: Rows in a step.
        worded: Whether the steps have other words than their rows.

    Returns:
        JSON values: `action`, `reward`, `terminated`, `truncated`, `text` (None if `worded`),
        `seed`, `latency`, `success`; `gap`, the rows before it that make no whole step; and
        `before`: the reward, the end and the success of the last step without what the row added to
        them. None if the outcome is known.
    """
    if recording.closed:
        return None
    gap = (len(recording) - 1) % rows_per_step
    end = len(recording) - 1 - gap
    before = slice(max(0, end - rows_per_step), end)
    return {
        "action": recording.actions[-1].tolist(),
        "reward": _finite(recording.rewards[-1]),
        "terminated": bool(recording.terminated[-1]),
        "truncated": bool(recording.truncated[-1]),
        "text": None if worded else recording.texts[-1],
        "seed": int(recording.seeds[-1]),
        "latency": _finite(recording.latency[-1]),
        "success": _finite(recording.success[-1]),
        "gap": gap,
        "before": {
            "reward": _finite(recording.rewards[before].sum()),
            "terminated": bool(recording.terminated[before].any()),
            "truncated": bool(recording.truncated[before].any()),
            "success": _finite(last_known(recording.success[before])),
        },
    }


def _own_row(about: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The source's row at the last observation, as `unused_row` kept it; None: there is none."""
    row = about.get("unused_row")
    if isinstance(row, Mapping):
        return None if row.get("gap") else row  # after a gap it is that of a later observation
    action = about.get("unused_action")  # all that imports once kept
    return None if action is None else {"action": action}


def _like(unused: Any, actions: np.ndarray) -> np.ndarray:
    """The unused action, if it is one of these rows: of a chunk, its last."""
    if unused is None:
        return np.asarray(actions[-1])
    action = np.asarray(unused, actions.dtype)
    return action if action.shape == actions.shape[1:] else np.asarray(actions[-1])


def last_known(values: np.ndarray) -> float:
    """The last of values that are not NaN; NaN without one."""
    known = values[np.isfinite(values)]
    return float(known[-1]) if known.size else float("nan")


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


class RowBar:
    """A progress bar of rows; how many there are is guessed from the episodes that were begun.

    Args:
        episodes: How many there are.
        shown: Whether to draw it.
    """

    def __init__(self, episodes: int, *, shown: bool) -> None:
        self._bar = tqdm(unit=" rows", disable=not shown)
        self._episodes, self._begun, self._rows = episodes, 0, 0

    def begin(self, rows: int) -> None:
        """Begins the next episode, of this many rows."""
        self._begun += 1
        self._rows += rows
        self._bar.total = round(self._rows * self._episodes / self._begun)
        said = f"episode {self._begun:,} of {self._episodes:,}"
        self._bar.set_description(said, refresh=False)

    def row(self, rows: int = 1) -> None:
        """Counts rows."""
        self._bar.update(rows)

    def watch(self, recording: EpisodeColumns) -> EpisodeColumns:
        """Begins an episode, and counts its rows when their frames are first read."""
        self.begin(len(recording))
        seen = 0

        def frames() -> Iterator[Frame]:
            nonlocal seen
            for row, frame in enumerate(recording.frames, 1):
                if seen < row <= len(recording):
                    seen = row
                    self._bar.update()
                yield frame

        return replace(recording, frames=FrameSource(frames))

    def __enter__(self) -> RowBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


@dataclass(slots=True)
class SharedTraits:
    """Checks that episodes share the traits of the first one.

    Attributes:
        first: Each trait as it was first met, and the episode that had it.
    """

    first: dict[str, tuple[Any, str]] = field(default_factory=dict)

    def check(self, name: str, traits: Mapping[str, Any], advice: str) -> None:
        """Compares an episode with the first one.

        Args:
            name: The episode's name.
            traits: The episode's traits.
            advice: What would be right, for the end of the sentence.

        Raises:
            InvalidEpisode: A trait differs from the first episode's.
        """
        for trait, ours in traits.items():
            theirs, other = self.first.setdefault(trait, (ours, name))
            if ours != theirs:
                raise InvalidEpisode(
                    f"{name} has {trait} {ours}, but {other} has {theirs}: {advice}"
                )
