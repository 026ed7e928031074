"""One episode as columns that lie side by side: what the rows of every format are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from chronosim.errors import InvalidAction, InvalidEpisode
from chronosim.types import Frame

__all__ = ["Frames", "Recording", "make_recording"]


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames in order, read while they are gone through, which may happen more than once.

    Attributes:
        read: Begins to read: gives the frames, RGB uint8 (height, width, 3), all of one size.
    """

    read: Callable[[], Iterator[Frame]]

    def __iter__(self) -> Iterator[Frame]:
        return self.read()


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
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
        rows_per_step: Rows in one held action: 1, or the length of the trajectories.
        closed: Whether the observation after the last action is known.
        about: What made the episode: JSON values.
    """

    name: str
    fps: float | None
    frames: Frames
    states: Float32[np.ndarray, "observations state"]
    actions: np.ndarray
    texts: tuple[str, ...]
    rewards: Float64[np.ndarray, " rows"]
    terminated: Bool[np.ndarray, " rows"]
    truncated: Bool[np.ndarray, " rows"]
    seeds: Int64[np.ndarray, " rows"]
    latency: Float64[np.ndarray, " rows"]
    rows_per_step: int
    closed: bool
    about: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames, pixels; reads the first one."""
        height, width = next(iter(self.frames)).shape[:2]
        return height, width

    def facts(self) -> set[str]:
        """Names what there is to lose, in the words of a report."""
        found = {"frames", "every pixel as it was"}
        columns: dict[str, Any] = {
            "the last observation": self.closed,
            "states": self.states.size,
            "texts": any(self.texts),
            "rewards": self.rewards.any(),
            "whether it terminated": self.terminated.any(),
            "whether it was truncated": self.truncated.any(),
            "seeds": self.seeds.any(),
            "latencies": np.isfinite(self.latency).any(),
            "where it comes from": self.about,
        }
        return found | {name for name, value in columns.items() if value}


def make_recording(
    name: str,
    frames: Frames,
    actions: np.ndarray | Sequence[Any],
    *,
    closed: bool,
    fps: float | None = None,
    states: np.ndarray | None = None,
    texts: Sequence[str] | None = None,
    about: Mapping[str, Any] | None = None,
    rows_per_step: int = 1,
    **columns: np.ndarray | None,
) -> Recording:
    """Makes a recording of what a format holds; what it does not hold is filled with nothing.

    Args:
        name: What it is called.
        frames: As `Recording.frames`.
        actions: As `Recording.actions`.
        closed: As `Recording.closed`.
        fps: As `Recording.fps`.
        states: As `Recording.states`; None: no state.
        texts: As `Recording.texts`; None: no words.
        about: As `Recording.about`.
        rows_per_step: As `Recording.rows_per_step`.
        **columns: `rewards`, `terminated`, `truncated`, `seeds`, `latency`.

    Raises:
        InvalidAction: The actions are of several widths, not numbers or strings, or not finite.
        InvalidEpisode: A column is not as long as the actions.
    """
    acted = _check_actions(name, actions)
    rows = len(acted)
    state = np.zeros((rows + closed, 0)) if states is None else np.asarray(states)
    filled = {
        "rewards": (np.zeros(rows), np.float64),
        "terminated": (np.zeros(rows), np.bool_),
        "truncated": (np.zeros(rows), np.bool_),
        "seeds": (np.zeros(rows), np.int64),
        "latency": (np.full(rows, np.nan), np.float64),
    }
    made: dict[str, Any] = {}
    for column, (nothing, dtype) in filled.items():
        values = columns.get(column)
        made[column] = np.asarray(nothing if values is None else values).reshape(-1).astype(dtype)
    made["texts"] = tuple([""] * rows if texts is None else texts)
    for column, values in made.items():
        _check_length(name, column, len(values), rows)
    _check_length(name, "states", len(state), rows + closed)
    return Recording(
        name=name,
        fps=fps,
        frames=frames,
        states=state.reshape(rows + closed, -1).astype(np.float32),
        actions=acted,
        rows_per_step=rows_per_step,
        closed=closed,
        about=dict(about or {}),
        **made,
    )


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
        raise InvalidAction(f"the actions of {name} are {found.dtype}, not numbers or strings")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found.reshape(len(found), -1)).all(1)))
        raise InvalidAction(f"the action of {name} at row {row} is not finite: {found[row]}")
    return found


def _check_length(name: str, column: str, length: int, wanted: int) -> None:
    if length != wanted:
        raise InvalidEpisode(f"{name} has {length} {column}, but its actions ask for {wanted}")
