"""Episodes as rows: one for each held action, or one for each frame of its trajectory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chronosim.adapters.datasets.recording import Frames, Recording, make_recording
from chronosim.episodes import EpisodeReader
from chronosim.errors import InvalidConfig, InvalidEpisode
from chronosim.types import Frame

__all__ = ["ROWS", "record_rows"]

ROWS = ("steps", "frames")
"""What a row may be: a held action, or a frame of its trajectory."""


def record_rows(
    reader: EpisodeReader, *, rows: str, seconds_per_step: float | None = None
) -> Recording:
    """Gives an episode as rows.

    As frames, a step of a trajectory of n frames becomes n rows that hold its action and its
    commanded state; its reward, its end and its latency lie in the last of them. An action that an
    import made of n actions is given back as those n.

    Args:
        reader: The episode, with at least one step.
        rows: One of `ROWS`.
        seconds_per_step: How long an action is held; None: as the episode says.

    Raises:
        InvalidConfig: `rows` is none of `ROWS`, or `seconds_per_step` is not positive.
        InvalidEpisode: Its trajectories differ in length, so that frames are no even rows.
    """
    if rows not in ROWS:
        raise InvalidConfig(f"rows must be one of {', '.join(ROWS)}, not {rows!r}")
    seconds = _clock(reader, seconds_per_step)
    length = _length(reader) if rows == "frames" else 1
    last = np.zeros(reader.steps * length, np.bool_)
    last[length - 1 :: length] = True
    states = reader.states
    return make_recording(
        reader.path.name,
        Frames(lambda: _frames(reader, rows)),
        _actions(reader, length),
        closed=True,
        fps=None if seconds is None else length / seconds,
        states=np.concatenate([states[:-1].repeat(length, 0), states[-1:]]),
        texts=[str(text) for text in reader.column("text").repeat(length)],
        about=reader.about,
        rows_per_step=length,
        rewards=np.where(last, reader.column("reward").repeat(length), 0),
        terminated=last & reader.column("terminated").repeat(length),
        truncated=last & reader.column("truncated").repeat(length),
        seeds=reader.column("seed").repeat(length),
        latency=np.where(last, reader.column("latency").repeat(length), np.nan),
    )


def _frames(reader: EpisodeReader, rows: str) -> Iterator[Frame]:
    yield reader.observation(0).frame
    for index in range(reader.steps):
        if rows == "frames":
            yield from reader.trajectory(index)
        else:
            yield reader.observation(index + 1).frame


def _length(reader: EpisodeReader) -> int:
    lengths = np.unique(reader.column("between_length")) + 1
    if len(lengths) > 1:
        raise InvalidEpisode(
            f"the trajectories of {reader.path.name} have {lengths.min()} to {lengths.max()} "
            "frames, which do not lie evenly in time: use rows=steps"
        )
    return int(lengths[0])


def _actions(reader: EpisodeReader, length: int) -> np.ndarray:
    actions = reader.column("action")
    conversion = reader.about.get("conversion") or {}
    chunked = conversion.get("action") == "chunk" and actions.shape[1:2] == (length,)
    return actions.reshape(-1, *actions.shape[2:]) if chunked else actions.repeat(length, 0)


def _clock(reader: EpisodeReader, given: float | None) -> float | None:
    seconds = reader.about.get("seconds_per_step") if given is None else given
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise InvalidConfig(f"seconds_per_step must be a number above 0, not {seconds!r}")
    return float(seconds)
