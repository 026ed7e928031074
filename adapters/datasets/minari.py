"""Writes Minari data sets, HDF5, Arrow or Parquet, through Minari's own storage."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.adapters.datasets.exporting import alike, provenance
from chronosim.adapters.datasets.recording import Recording
from chronosim.errors import EpisodeWriteError, InvalidConfig, MissingDependency

try:
    from minari import __version__ as minari_version
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage
except ImportError as error:
    raise MissingDependency(
        "this format needs Minari: pip install 'chronosim[datasets]'"
    ) from error

__all__ = ["KINDS", "MinariExporter"]

_SLACK = 50_000_000  # bytes that must be free beyond an episode's

KINDS = ("hdf5", "arrow", "parquet")
"""What Minari stores episodes in."""


@dataclass(frozen=True, slots=True)
class MinariExporter:
    """A Minari data set: observations are a dict of `image` and, where there is one, `state`.

    The words, seeds and latencies are in `infos`; what made the episodes is in the metadata, under
    `chronosim`. Read it with `minari.MinariDataset(output / "data")`, or put the folder where its
    id says below Minari's root.

    Attributes:
        kind: `hdf5`, `arrow` or `parquet`.
        dataset_id: Minari's name for it, ending in a version.
        jpeg: Whether frames of 32 pixels and more are kept as JPEG, which changes them.
        author: Who made it; None: nobody is named.

    Raises:
        InvalidConfig: Another kind.
    """

    kind: str = "hdf5"
    dataset_id: str = "chronosim/episodes-v0"
    jpeg: bool = False
    author: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidConfig(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")

    @property
    def holds(self) -> set[str]:
        """What it has a place for."""
        held = {
            "frames",
            "the last observation",
            "states",
            "texts",
            "rewards",
            "whether it terminated",
            "whether it was truncated",
            "seeds",
            "latencies",
            "where it comes from",
        }
        return held | (set() if self.jpeg else {"every pixel as it was"})

    def write(self, recordings: Iterable[Recording], folder: Path) -> None:
        """Writes recordings into an empty folder; one of them is in memory at a time.

        Raises:
            InvalidEpisode: The episodes are not alike.
        """
        storage, said = None, []
        for number, recording in enumerate(alike(recordings)):
            if storage is None:
                storage = MinariStorage.new(
                    folder / "data",
                    observation_space=_observation_space(recording),
                    action_space=_action_space(recording),
                    data_format=self.kind,
                    jpeg_encoding=self.jpeg,
                )
            buffer = _buffer(recording, number)
            _check_space(folder, buffer)
            storage.update_episodes([buffer])
            said.append(provenance(recording))
        if storage is not None:
            named = {} if self.author is None else {"author": {self.author}}
            storage.update_metadata(
                {
                    "dataset_id": self.dataset_id,
                    "minari_version": minari_version,
                    "description": "Episodes exported by chronosim",
                    "chronosim": said,
                    **named,
                }
            )


def _observation_space(recording: Recording) -> gym.spaces.Dict:
    spaces: dict[str, gym.Space[Any]] = {
        "image": gym.spaces.Box(0, 255, (*recording.size, 3), np.uint8)
    }
    if recording.states.size:
        spaces["state"] = gym.spaces.Box(-np.inf, np.inf, recording.states.shape[1:], np.float32)
    return gym.spaces.Dict(spaces)


def _action_space(recording: Recording) -> gym.Space[Any]:
    actions = recording.actions
    if actions.dtype.kind == "U":
        charset = frozenset("".join(actions.reshape(-1).tolist())) or frozenset("-")
        return gym.spaces.Text(10_000, min_length=0, charset=charset)
    if actions.dtype.kind == "f":
        return gym.spaces.Box(-np.inf, np.inf, actions.shape[1:], actions.dtype.type)
    if actions.dtype.kind == "b":
        return gym.spaces.MultiBinary(actions.shape[1:] or 1)
    if actions.ndim == 1 and actions.min() >= 0:
        return gym.spaces.Discrete(int(actions.max()) + 1)
    limits = np.iinfo(actions.dtype)
    return gym.spaces.Box(limits.min, limits.max, actions.shape[1:], actions.dtype.type)


def _check_space(folder: Path, buffer: EpisodeBuffer) -> None:
    """Looks before it leaps: on a full disk, HDF5 crashes when Minari closes its file."""
    needed = sum(array.nbytes for array in buffer.observations.values())
    free = shutil.disk_usage(folder).free
    if free < needed + _SLACK:
        raise EpisodeWriteError(
            f"an episode needs {needed / 1e6:.0f} MB, but the disk has {free / 1e6:.0f} MB left"
        )


def _buffer(recording: Recording, number: int) -> EpisodeBuffer:
    observations: dict[str, Any] = {"image": np.stack(list(recording.frames))}
    if recording.states.size:
        observations["state"] = recording.states
    text = recording.actions.dtype.kind == "U"
    return EpisodeBuffer(
        id=number,
        observations=observations,
        actions=recording.actions.tolist() if text else recording.actions,
        rewards=recording.rewards,
        terminations=recording.terminated,
        truncations=recording.truncated,
        # Infos have one entry more than actions: the first belongs to the reset.
        infos={
            "text": ["", *recording.texts],
            "seed": [0, *recording.seeds.tolist()],  # lists: Minari cannot decode plain arrays
            "latency": [float("nan"), *recording.latency.tolist()],
        },
    )
