"""One episode as columns that lie side by side: what the rows of every format are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from chronosim.errors import InvalidAction, InvalidConfig, InvalidEpisode
from chronosim.types import Frame

EXACT, LAST = "every pixel as it was", "the last observation"
CONTENTS = frozenset(
    (
        "frames", EXACT, LAST, "states", "texts", "rewards", "whether it terminated",
        "whether it was truncated", "seeds", "latencies", "where it comes from",
    )
)  # fmt: skip
"""All that an episode may have to lose, in the words of a report; a format holds some of it."""


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
        rows_per_step: Rows in one held action: 1, or the length of the trajectories.
        closed: Whether the observation after the last action is known.
        about: What made the episode: JSON values.
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
            "where it comes from": self.about,
        }
        return {name for name, value in columns.items() if value}


def make_columns(
    name: str,
    frames: FrameSource,
    actions: np.ndarray | Sequence[Any],
    *,
    closed: bool,
    fps: float | None = None,
    states: np.ndarray | None = None,
    texts: Sequence[str] | None = None,
    about: Mapping[str, Any] | None = None,
    rows_per_step: int = 1,
    **columns: np.ndarray | None,
) -> EpisodeColumns:
    """Makes a recording of what a format holds; what it does not hold is filled with nothing.

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
    return EpisodeColumns(
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
    added: dict[str, Any] = {
        "actions": _like(row.get("action"), recording.actions),
        "rewards": _number(row.get("reward", 0.0)),
        "terminated": bool(row.get("terminated", False)),
        "truncated": bool(row.get("truncated", False)),
        "seeds": int(row.get("seed", recording.seeds[-1])),
        "latency": _number(row.get("latency")),
    }
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(recording, name), np.asarray(value)[None]])
        for name, value in added.items()
    }
    texts = (*recording.texts, recording.texts[-1] if text is None else str(text))
    return replace(recording, closed=False, texts=texts, **columns)


def without_last_row(recording: EpisodeColumns) -> EpisodeColumns:
    """Makes a row that `with_last_row` made up the last observation again; a real one stays."""
    if _own_row(recording.about) is not None:
        return recording
    columns: dict[str, Any] = {
        name: getattr(recording, name)[:-1]
        for name in ("actions", "rewards", "terminated", "truncated", "seeds", "latency", "texts")
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
        `seed`, `latency`; and `gap`, the rows before it that make no whole step. None if the
        outcome is known.
    """
    if recording.closed:
        return None
    return {
        "action": recording.actions[-1].tolist(),
        "reward": _finite(recording.rewards[-1]),
        "terminated": bool(recording.terminated[-1]),
        "truncated": bool(recording.truncated[-1]),
        "text": None if worded else recording.texts[-1],
        "seed": int(recording.seeds[-1]),
        "latency": _finite(recording.latency[-1]),
        "gap": (len(recording) - 1) % rows_per_step,
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


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


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
