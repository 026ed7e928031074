"""Rows of one rate as rows of another: actions held, frames picked, rewards kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from chronosim.adapters.datasets.recording import Frames, Recording
from chronosim.errors import InvalidConfig
from chronosim.types import Frame

__all__ = ["resample"]


def resample(recording: Recording, fps: float | None) -> Recording:
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
        frames=Frames(lambda: _picked(recording.frames, seen)),
        states=recording.states[seen],
        actions=recording.actions[kept],
        texts=tuple(recording.texts[row] for row in kept),
        rewards=_summed(recording.rewards, edges),
        terminated=_summed(recording.terminated, edges) > 0,
        truncated=_summed(recording.truncated, edges) > 0,
        seeds=recording.seeds[kept],
        latency=_summed(recording.latency, edges),
        closed=closed,
    )


def _summed(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    sums = [values[begin:end].sum() for begin, end in pairwise(edges)]
    return np.array(sums, np.float64)


def _picked(frames: Frames, rows: np.ndarray) -> Iterator[Frame]:
    """The frames at ascending rows, one of which may be asked for several times."""
    wanted, at = list(rows), 0
    for row, frame in enumerate(frames):
        while at < len(wanted) and wanted[at] == row:
            yield frame
            at += 1
        if at == len(wanted):
            return
