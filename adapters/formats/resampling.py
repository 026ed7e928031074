"""Rows of one rate as rows of another, and rows as steps with their trajectories."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice, pairwise
from types import MappingProxyType

import numpy as np

from chronosim.episodes import Step
from chronosim.errors import InvalidAction, InvalidConfig, InvalidEpisode, InvalidFrame
from chronosim.formats.columns import EpisodeColumns, FrameSource, last_known
from chronosim.frames import fit_frame
from chronosim.protocols import Prompter
from chronosim.types import Frame, Observation, Prediction


def resample(recording: EpisodeColumns, fps: float | None) -> EpisodeColumns:
    """Gives a recording at another rate.

    Each new row is the old one that was current at its time: frames, states and words are picked,
    an action is held. What old rows earned adds up in the new row that they fall into (the last
    one takes what is left), and an end among them stays an end.

    Args:
        recording: At least one row.
        fps: New rows a second; None: as it is.

    Raises:
        InvalidConfig: The rate is not positive, or the recording's own is not known.
    """
    if fps is None or fps == recording.fps:
        return recording
    if not fps > 0:
        raise InvalidConfig(f"fps must be above 0, not {fps}")
    if recording.fps is None:
        raise InvalidConfig(f"{recording.name} does not say its rate: give it as source_fps")
    rows = len(recording)
    count = max(1, int(rows * fps / recording.fps + 1e-6))
    # The old row that is current at each new one's time; 1e-6 against 2.9999999 for 3.
    picked = (np.arange(count + 1) * (recording.fps / fps) + 1e-6).astype(np.int64).clip(0, rows)
    kept, edges = picked[:-1], np.append(picked[:-1], rows)
    closed = recording.closed or bool(picked[-1] < rows)
    seen = picked if closed else kept
    return replace(
        recording,
        fps=fps,
        frames=FrameSource(lambda: _picked(recording.frames, seen)),
        states=recording.states[seen],
        actions=recording.actions[kept],
        texts=tuple(recording.texts[row] for row in kept),
        rewards=_summed(recording.rewards, edges),
        terminated=_summed(recording.terminated, edges) > 0,
        truncated=_summed(recording.truncated, edges) > 0,
        seeds=recording.seeds[kept],
        latency=_summed(recording.latency, edges),
        success=np.array([last_known(recording.success[b:e]) for b, e in pairwise(edges)]),
        closed=closed,
    )


def _summed(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    sums = [values[begin:end].sum() for begin, end in pairwise(edges)]
    return np.array(sums, np.float64)


def _picked(frames: FrameSource, rows: np.ndarray) -> Iterator[Frame]:
    """The frames at ascending rows, one of which may be asked for several times."""
    wanted, at = list(rows), 0
    for row, frame in enumerate(frames):
        while at < len(wanted) and wanted[at] == row:
            yield frame
            at += 1
        if at == len(wanted):
            return


COMBINATIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "first": lambda actions: actions[0],
        "chunk": lambda actions: actions,
        "mean": lambda actions: actions.mean(0, dtype=actions.dtype),
        "sum": lambda actions: actions.sum(0, dtype=actions.dtype),
    }
)
"""What a step's action may be made of, given those of its rows."""


def count_steps(recording: EpisodeColumns, rows_per_step: int) -> int:
    """How many whole steps a recording's rows make; the last one's outcome must be known."""
    return (len(recording) - (not recording.closed)) // rows_per_step


def steps_of(
    recording: EpisodeColumns,
    first: Observation,
    frames: Iterator[Frame],
    *,
    rows_per_step: int,
    action: str,
    text: str | None,
    prompter: Prompter | None,
) -> Iterator[Step]:
    """Gives the steps of a recording.

    Rows at its end that make no step are left out, but what they earned, and an end among them,
    counts to the last step: a return, and whether an episode ended, are those of all its rows.

    Args:
        recording: The rows.
        first: The observation they begin with.
        frames: Those after it, as `fitted` gives them.
        rows_per_step: Rows in a step.
        action: One of `COMBINATIONS`.
        text: Words of every step; None: those of its first row.
        prompter: Words the actions instead, and keeps the state; None: as the recording says.

    Raises:
        InvalidAction: The actions cannot be averaged or summed, or the prompter refuses one.
        InvalidEpisode: There are fewer frames than rows.
    """
    if recording.actions.dtype.kind not in {"mean": "f", "sum": "iuf"}.get(action, "biufU"):
        raise InvalidAction(f"actions that are {recording.actions.dtype} have no {action}")
    before, rewards = first, recording.rewards
    ends = range(rows_per_step, len(recording) + recording.closed, rows_per_step)
    for index, end in enumerate(ends, 1):
        begin, until = end - rows_per_step, len(recording) if end == ends[-1] else end
        trajectory = list(islice(frames, rows_per_step))
        if len(trajectory) < rows_per_step:
            raise InvalidEpisode(
                f"{recording.name} has {begin + 1 + len(trajectory)} frames, too few for its "
                f"{len(recording)} rows"
            )
        chosen = COMBINATIONS[action](recording.actions[begin:end])
        words, state = recording.texts[begin], recording.states[min(end, len(recording.states) - 1)]
        if prompter is not None:
            words, state = prompter(before, chosen)
        reached = last_known(recording.success[begin:until])
        after = Observation(trajectory[-1], np.asarray(state, np.float32), index)
        yield Step(
            before=before,
            action=chosen.item() if np.ndim(chosen) == 0 else chosen,
            text=words if text is None else text,
            seed=int(recording.seeds[begin]),
            prediction=Prediction(np.stack(trajectory)),
            after=after,
            reward=float(rewards[begin:end].sum() + np.nansum(rewards[end:until])),
            terminated=bool(recording.terminated[begin:until].any()),
            truncated=bool(recording.truncated[begin:until].any()),
            latency=_total(recording.latency[begin:end]),
            success=None if np.isnan(reached) else bool(reached),
        )
        before = after


def _total(latency: np.ndarray) -> float:
    """The seconds that are known; NaN where none are."""
    known = latency[np.isfinite(latency)]
    return float(known.sum()) if known.size else float("nan")


def fitted(recording: EpisodeColumns, size: tuple[int, int] | None) -> Iterator[Frame]:
    """Gives a recording's frames, at least one, all of one size before as after.

    Args:
        recording: The rows.
        size: Height and width that frames are cut and scaled to; None: as they are.

    Raises:
        InvalidFrame: The frames are of several sizes.
        InvalidEpisode: There is none.
    """
    shape: tuple[int, ...] | None = None
    for row, frame in enumerate(recording.frames):
        shape = shape or frame.shape
        if frame.shape != shape:
            raise InvalidFrame(
                f"the frames of {recording.name} are {shape}, but at row {row} one is {frame.shape}"
            )
        yield frame if size is None else fit_frame(frame, size)
    if shape is None:
        raise InvalidEpisode(f"{recording.name} has no frame")
