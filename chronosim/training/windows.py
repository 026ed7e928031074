"""Training windows: what was seen, what was said, what happened, out of recorded episodes."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from chronosim.episodes import EpisodeReader
from chronosim.errors import InvalidEpisode

__all__ = ["Windows", "load_windows"]


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Steps of episodes side by side, all with trajectories of one length.

    Attributes:
        start: Observed frames, uint8 (n, height, width, 3).
        trajectory: What followed, uint8 (n, time, height, width, 3); the outcome last.
        text: The words, n of them.
    """

    start: UInt8[np.ndarray, "n height width 3"]
    trajectory: UInt8[np.ndarray, "n time height width 3"]
    text: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.start)

    @property
    def time(self) -> int:
        """Frames in a trajectory."""
        return self.trajectory.shape[1]

    def split(self, held_out: int) -> tuple[Windows, Windows]:
        """Cuts off the last `held_out` windows: (the rest, the last)."""
        cut = len(self) - held_out
        return self._rows(slice(0, cut)), self._rows(slice(cut, None))

    def _rows(self, rows: slice) -> Windows:
        return Windows(self.start[rows], self.trajectory[rows], self.text[rows])


def load_windows(episodes: Iterable[Path]) -> list[Windows]:
    """Reads every step of every episode into memory.

    Args:
        episodes: Folders of episodes; live ones count up to their committed length.

    Returns:
        One `Windows` for each length of trajectory found, shortest first; within it the windows
        stand in the order of the episodes.

    Raises:
        InvalidEpisode: No episode holds a step.
    """
    with ThreadPoolExecutor(4) as pool:
        read = [rows for rows in pool.map(_read, episodes) if rows is not None]
    if not read:
        raise InvalidEpisode("no episode holds a step: record some with chronosim record")
    found = []
    for time in sorted({rows.time for rows in read}):
        same = [rows for rows in read if rows.time == time]
        found.append(
            Windows(
                np.concatenate([rows.start for rows in same]),
                np.concatenate([rows.trajectory for rows in same]),
                tuple(text for rows in same for text in rows.text),
            )
        )
    return found


def _read(path: Path) -> Windows | None:
    reader = EpisodeReader(path)
    if reader.steps == 0:
        return None
    lengths = reader.column("between_length")
    if (lengths != lengths[0]).any():
        raise InvalidEpisode(
            f"{path} mixes trajectories of several lengths; record with one stride"
        )
    frames, between = reader.frames, reader.column("between")[:, : int(lengths[0])]
    trajectory = np.concatenate([between, frames[1:, None]], axis=1)
    return Windows(frames[:-1], trajectory, tuple(map(str, reader.column("text"))))
