"""Training windows: what was seen, what was said, what happened, out of recorded episodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from chronosim.episodes import EpisodeReader
from chronosim.errors import InvalidEpisode
from chronosim.files import refusals_said, reserve


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


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What is learned from: windows by the length of their trajectories, shortest first.

    Attributes:
        new: Of the worlds to be learned.
        known: Of worlds that the model to start from knows.
        held_out: What is kept out of `new`, for the curves.
    """

    new: Sequence[Windows]
    known: Sequence[Windows]
    held_out: Sequence[Windows]

    @property
    def all(self) -> Sequence[Windows]:
        """New and known ones."""
        return (*self.new, *self.known)


def load_windows(episodes: Iterable[Path], folder: Path, ways: float = 1.0) -> list[Windows]:
    """Copies every step of every episode into flat arrays, which may be larger than the memory.

    Args:
        episodes: Folders of episodes; live ones count up to their committed length.
        folder: Gets the arrays, as .npy files that the windows map; older ones are replaced.
        ways: Share of the episodes, the first ones, of which the frames on the way are taken as
            well; of the others the outcomes alone, which cost a quarter of the time to encode.

    Returns:
        One `Windows` for each length of trajectory and each world found, shortest first; within it
        the windows stand in the order of the episodes.

    Raises:
        InvalidEpisode: No episode holds a step, one mixes trajectories of several lengths, or their
            frames are of several sizes.
    """
    readers = [reader for path in episodes if (reader := EpisodeReader(path)).steps]
    if not readers:
        raise InvalidEpisode("no episode holds a step: record some with chronosim record")
    with ThreadPoolExecutor(4) as pool:
        kinds = list(pool.map(_kind, readers))
        whole = round(ways * len(kinds))
        kinds[whole:] = [(1, source) for _, source in kinds[whole:]]
        folder.mkdir(parents=True, exist_ok=True)
        return [
            _copy(
                [reader for reader, own in zip(readers, kinds, strict=True) if own == kind],
                kind[0],
                folder / f"{index}-{kind[0]}.npy",
                pool,
            )
            for index, kind in enumerate(sorted(set(kinds)))
        ]


def _kind(reader: EpisodeReader) -> tuple[int, str]:
    """The length of an episode's trajectories, and the world that it comes from."""
    return _time(reader), str(reader.about.get("source", ""))


def _time(reader: EpisodeReader) -> int:
    """The length of an episode's trajectories, the outcome included."""
    lengths = reader.column("between_length")
    if (lengths != lengths[0]).any():
        raise InvalidEpisode(
            f"{reader.path} mixes trajectories of several lengths; record with one stride"
        )
    return int(lengths[0]) + 1


def _copy(
    readers: Sequence[EpisodeReader], time: int, file: Path, pool: ThreadPoolExecutor
) -> Windows:
    ends = np.cumsum([reader.steps for reader in readers])
    size = readers[0].observation(0).frame.shape
    start = _map(file.with_name(f"start-{file.name}"), (int(ends[-1]), *size))
    trajectory = _map(file.with_name(f"trajectory-{file.name}"), (int(ends[-1]), time, *size))

    def fill(reader: EpisodeReader, end: int) -> tuple[str, ...]:
        frames, rows = reader.frames, slice(end - reader.steps, end)
        if frames.shape[1:] != size:
            raise InvalidEpisode(
                f"{reader.path} has frames of {frames.shape[1:]}, but {readers[0].path} of {size}"
            )
        start[rows], trajectory[rows, -1] = frames[:-1], frames[1:]
        if time > 1:
            trajectory[rows, :-1] = reader.column("between")[:, : time - 1]
        return tuple(map(str, reader.column("text")))

    texts = list(pool.map(fill, readers, ends.tolist()))
    return Windows(start, trajectory, tuple(text for one in texts for text in one))


def _map(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    path.unlink(missing_ok=True)  # a process that still maps the old file keeps it
    with refusals_said(path):
        mapped: np.ndarray = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    reserve(path)
    return mapped
