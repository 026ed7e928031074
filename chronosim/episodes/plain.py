"""The two obvious ways to log an episode, to compare with: a file a frame, and one HDF5 file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from chronosim.episodes.rows import row_of
from chronosim.episodes.step import Step
from chronosim.errors import MissingDependency

__all__ = ["Hdf5Log", "NpyLog"]


class NpyLog:
    """Raw .npy files, one for each frame and each trajectory, and a line of JSON for each step.

    Args:
        folder: Where; made.
        first: The step whose outcome the episode begins with.
    """

    def __init__(self, folder: Path, first: Step) -> None:
        folder.mkdir()
        self._folder, self._steps = folder, 0
        np.save(folder / "frame-0.npy", first.after.frame)

    def append(self, step: Step) -> None:
        """Keeps a step."""
        self._steps += 1
        np.save(self._folder / f"frame-{self._steps}.npy", step.after.frame)
        np.save(self._folder / f"between-{self._steps}.npy", step.prediction.trajectory[:-1])
        with (self._folder / "steps.jsonl").open("a", encoding="utf-8") as file:
            file.write(row_of(step, "float32", between=0, clip=0).dumps() + "\n")

    def window(self, start: int) -> np.ndarray:
        """Reads nine observed frames."""
        files = (self._folder / f"frame-{index}.npy" for index in range(start, start + 9))
        return np.stack([np.load(file) for file in files])

    def close(self) -> None:
        """Does nothing: every file is closed already."""


class Hdf5Log:
    """One HDF5 file with a chunk for each frame, compressed by LZF and flushed after each step.

    A process that dies while it writes may leave a file that cannot be opened.

    Args:
        folder: Where; made.
        first: The step whose outcome the episode begins with.

    Raises:
        MissingDependency: h5py is not installed.
    """

    def __init__(self, folder: Path, first: Step) -> None:
        try:
            import h5py
        except ImportError as error:
            raise MissingDependency(
                "HDF5, to compare with, needs h5py: pip install 'chronosim[datasets]'"
            ) from error
        folder.mkdir()
        # No cache of chunks: one episode would fit into it, a data set to train on does not.
        self._file = h5py.File(folder / "episode.hdf5", "w", rdcc_nbytes=0)
        between = first.prediction.trajectory[:-1].shape
        self._frames = self._new("frames", first.after.frame.shape, np.uint8)
        self._between = self._new("between", between, np.uint8)
        self._records = self._new("records", (), h5py.string_dtype())
        self._put(self._frames, first.after.frame)

    def append(self, step: Step) -> None:
        """Keeps a step."""
        self._put(self._frames, step.after.frame)
        self._put(self._between, step.prediction.trajectory[:-1])
        self._put(self._records, row_of(step, "float32", between=0, clip=0).dumps())
        self._file.flush()

    def window(self, start: int) -> np.ndarray:
        """Reads nine observed frames."""
        return self._frames[start : start + 9]

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _new(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        return self._file.create_dataset(
            name,
            (0, *shape),
            dtype,
            maxshape=(None, *shape),
            chunks=(1, *shape),
            compression="lzf" if shape else None,
        )

    def _put(self, dataset: Any, value: Any) -> None:
        dataset.resize(len(dataset) + 1, axis=0)
        dataset[-1] = value
