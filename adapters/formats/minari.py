"""Writes and reads Minari data sets through Minari's own storage, without their environments."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.errors import EpisodeWriteError, InvalidConfig, InvalidEpisode, MissingDependency
from chronosim.formats.columns import CONTENTS, EXACT, EpisodeColumns, FrameSource, make_columns
from chronosim.formats.exporting import alike, provenance
from chronosim.formats.hdf5 import open_guarded
from chronosim.formats.importing import Contents
from chronosim.formats.parquet import pa
from chronosim.formats.safety import camera_of, other_format, read_json
from chronosim.types import Frame

from minari.dataset._storages import get_minari_storage  # isort: skip
from minari.serialization import deserialize_space  # isort: skip

try:
    from minari import __version__ as minari_version
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage
except ImportError as error:
    raise MissingDependency(
        "this format needs Minari: pip install 'chronosim[datasets]'"
    ) from error


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
    def holds(self) -> frozenset[str]:
        """What it has a place for."""
        return CONTENTS - ({EXACT} if self.jpeg else set())

    def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
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


def _observation_space(recording: EpisodeColumns) -> gym.spaces.Dict:
    spaces: dict[str, gym.Space[Any]] = {
        "image": gym.spaces.Box(0, 255, (*recording.size, 3), np.uint8)
    }
    if recording.states.size:
        spaces["state"] = gym.spaces.Box(-np.inf, np.inf, recording.states.shape[1:], np.float32)
    return gym.spaces.Dict(spaces)


def _action_space(recording: EpisodeColumns) -> gym.Space[Any]:
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


def _buffer(recording: EpisodeColumns, number: int) -> EpisodeBuffer:
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


# After ours, which says what to install where Minari is missing.


@dataclass(frozen=True, slots=True)
class MinariImporter:
    """A Minari data set whose observations are frames, or a dict with frames in it.

    It knows no clock (but for one that chronosim wrote): give the conversion a `source_fps`.

    Attributes:
        camera: Which of the observations are the frames; None: the only ones.
        state: Which of the observations are the states; None: no state.
    """

    camera: str | None = None
    state: str | None = "state"

    def read(self, source: Path) -> Contents:
        """Opens a data set.

        Raises:
            EpisodeNotFound: There is none.
            InvalidEpisode: Its spaces are known only to an environment, which is not made; it has
                no frames; or it leads out of itself.
        """
        folder = source / "data" if (source / "data" / "metadata.json").is_file() else source
        if not (folder / "metadata.json").is_file():
            raise other_format(source, "Minari data set", "data/metadata.json")
        metadata = read_json(folder / "metadata.json")
        storage, spaces = _open(folder, metadata)
        cameras = [name for name, space in spaces.items() if _is_frame(space)]
        camera = camera_of(cameras, self.camera, source)
        state = self.state if self.state in spaces else None
        unread = sorted(f"the observation {name}" for name in set(spaces) - {camera, state})
        count = int(metadata.get("total_episodes", 0))
        if count < 1:
            raise InvalidEpisode(f"{source} has no episode")
        said = metadata.get("chronosim") or []
        recordings = [
            partial(_recording, storage, number, camera, state, said[number] if said else {})
            for number in range(count)
        ]
        return Contents(recordings, tuple(unread))


def _open(folder: Path, metadata: dict[str, Any]) -> tuple[Any, dict[str, gym.Space[Any]]]:
    """Opens the storage itself: Minari's reader makes an environment where spaces are missing."""
    described = [metadata.get(f"{name}_space") for name in ("observation", "action")]
    if not all(isinstance(space, str) for space in described):
        raise InvalidEpisode(
            f"the spaces of {folder} are known only to its environment, which is not made here"
        )
    kind = metadata.get("data_format", "hdf5")
    if kind not in KINDS:
        raise InvalidEpisode(f"{folder} is of the kind {kind!r}, but {', '.join(KINDS)} are read")
    try:
        observation, action = (deserialize_space(space) for space in described)
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise InvalidEpisode(f"the spaces of {folder} cannot be read: {error}") from error
    if kind == "hdf5":
        with open_guarded(folder / "main_data.hdf5"):
            pass
    jpeg = bool(metadata.get("jpeg_encoding", True))
    storage = get_minari_storage(kind)(folder, observation, action, jpeg)
    if isinstance(observation, gym.spaces.Dict):
        return storage, dict(observation.spaces)
    return storage, {"observations": observation}


def _recording(
    storage: Any, number: int, camera: str, state: str | None, said: dict[str, Any]
) -> EpisodeColumns:
    try:
        [found] = storage.get_episodes([number])
    except (OSError, KeyError, ValueError, AssertionError, pa.ArrowException) as error:
        raise InvalidEpisode(
            f"episode {number} of {storage.data_path} is damaged: {error}"
        ) from error
    seen = found["observations"]
    observations = seen if isinstance(seen, dict) else {"observations": seen}
    infos, rows = found.get("infos") or {}, len(found["rewards"])
    texts = infos.get("text")
    actions = np.asarray(found["actions"])
    return make_columns(
        str(said.get("episode", f"episode {number}")),
        FrameSource(partial(_frames, observations[camera])),
        actions,
        closed=len(observations[camera]) == rows + 1,
        fps=said.get("fps"),
        states=None if state is None else np.asarray(observations[state]),
        texts=None if texts is None else [_text(text) for text in texts[-rows:]],
        about=said.get("about"),
        rewards=np.asarray(found["rewards"]),
        terminated=np.asarray(found["terminations"]),
        truncated=np.asarray(found["truncations"]),
        seeds=None if "seed" not in infos else np.asarray(infos["seed"][-rows:]),
        latency=None if "latency" not in infos else np.asarray(infos["latency"][-rows:]),
    )


def _frames(array: np.ndarray) -> Iterator[Frame]:
    return iter(np.asarray(array, np.uint8))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _is_frame(space: gym.Space[Any]) -> bool:
    shape = space.shape or ()
    return space.dtype == np.uint8 and len(shape) == 3 and shape[-1] == 3
