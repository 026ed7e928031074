"""Reads an episode back: finished, live or broken off, always up to its committed length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import UInt8

from chronosim.episodes.layout import PER_OBSERVATION, SCHEMA
from chronosim.episodes.step import Step
from chronosim.errors import EpisodeNotFound, InvalidEpisode
from chronosim.types import Frame, Observation, Prediction, Trajectory

__all__ = ["EpisodeReader", "list_episodes"]


def list_episodes(dataset: str | Path) -> list[Path]:
    """Gives the episodes of a data set: the folders with a Zarr group in them, by name.

    Raises:
        EpisodeNotFound: There is no such folder.
    """
    root = Path(dataset)
    if not root.is_dir():
        raise EpisodeNotFound(f"there is no data set at {root}: record one with chronosim record")
    return sorted(path.parent for path in root.glob("[!.]*/zarr.json"))


class EpisodeReader:
    """One episode on disk, as it stood when it was opened.

    Args:
        path: The episode's folder.

    Attributes:
        steps: Committed steps.
        finished: Whether its writer closed it.
        about: What made the episode, as its writer said.

    Raises:
        EpisodeNotFound: There is no episode at `path`.
        InvalidEpisode: Its schema is newer than this chronosim knows, or it is no episode.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "zarr.json").is_file():
            raise EpisodeNotFound(f"there is no episode at {self.path}")
        self._group = zarr.open_group(self.path, mode="r", use_consolidated=False)
        attributes: Mapping[str, Any] = self._group.attrs.asdict()
        schema = attributes.get("schema")
        if schema != SCHEMA:
            raise InvalidEpisode(
                f"{self.path} has schema {schema!r}, but this chronosim reads schema {SCHEMA}"
            )
        self.steps = int(attributes["steps"])
        self.finished = bool(attributes["finished"])
        self.about: Mapping[str, Any] = attributes["about"]

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Step]:
        return (self.step(index) for index in range(self.steps))

    @property
    def frames(self) -> UInt8[np.ndarray, "{self.steps}+1 height width 3"]:
        """All observed frames: uint8 (T + 1, height, width, 3)."""
        return self._rows("frames", self.steps + 1)

    @property
    def states(self) -> np.ndarray:
        """All commanded states: float32 (T + 1, n)."""
        return self._rows("states", self.steps + 1)

    def column(self, name: str) -> np.ndarray:
        """One array: action, text, seed, reward, terminated ... (T entries), frames (T + 1) ...

        Raises:
            InvalidEpisode: The episode has no such array.
        """
        if name not in self._group:
            raise InvalidEpisode(
                f"{self.path} has no array {name!r}; it has: {', '.join(self._group.array_keys())}"
            )
        return self._rows(name, self.steps + (name in PER_OBSERVATION))

    def observation(self, index: int) -> Observation:
        """The observation before step `index` (0 to T, T being the last one).

        Raises:
            InvalidEpisode: `index` is out of range.
        """
        self._check(index, self.steps)
        state = np.asarray(self._array("states")[index], np.float32)
        return Observation(np.asarray(self._array("frames")[index]), state, index)

    def trajectory(self, index: int) -> Trajectory:
        """The frames of step `index` after its observation, the outcome last.

        Raises:
            InvalidEpisode: `index` is out of range.
        """
        self._check(index, self.steps - 1)
        length = int(np.asarray(self._array("between_length")[index]))
        outcome: Frame = np.asarray(self._array("frames")[index + 1])
        if length == 0:
            return outcome[None]
        between = np.asarray(self._array("between")[index, :length])
        return np.concatenate([between, outcome[None]])

    def step(self, index: int) -> Step:
        """Step `index`, 0 to T - 1.

        Raises:
            InvalidEpisode: `index` is out of range.
        """
        trajectory = self.trajectory(index)
        action = np.asarray(self._array("action")[index])
        return Step(
            action=action.item() if action.ndim == 0 else action,
            text=str(self._scalar("text", index)),
            seed=int(self._scalar("seed", index)),
            prediction=Prediction(trajectory),
            after=self.observation(index + 1),
            reward=float(self._scalar("reward", index)),
            terminated=bool(self._scalar("terminated", index)),
            truncated=bool(self._scalar("truncated", index)),
            latency=float(self._scalar("latency", index)),
        )

    def _check(self, index: int, last: int) -> None:
        if not 0 <= index <= last:
            raise InvalidEpisode(f"{self.path} has {self.steps} steps; there is no index {index}")

    def _rows(self, name: str, count: int) -> np.ndarray:
        return np.asarray(self._array(name)[:count])

    def _scalar(self, name: str, index: int) -> Any:
        return np.asarray(self._array(name)[index])[()]

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self._group[name]
        assert isinstance(array, zarr.Array)
        return array
