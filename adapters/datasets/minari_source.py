"""Reads Minari data sets through Minari's own storage, without the environments they name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.adapters.datasets.guard import camera_of, other_format, read_json
from chronosim.adapters.datasets.guard_hdf5 import open_guarded
from chronosim.adapters.datasets.importing import Contents
from chronosim.adapters.datasets.minari import KINDS
from chronosim.adapters.datasets.parquet import pa
from chronosim.adapters.datasets.recording import Frames, Recording, make_recording
from chronosim.errors import InvalidEpisode
from chronosim.types import Frame

# After ours, which says what to install where Minari is missing.
from minari.dataset._storages import get_minari_storage  # isort: skip
from minari.serialization import deserialize_space  # isort: skip

__all__ = ["MinariImporter"]


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
        recordings = (
            _recording(storage, number, camera, state, said[number] if said else {})
            for number in range(count)
        )
        return Contents(recordings, count, tuple(unread))


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
) -> Recording:
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
    return make_recording(
        str(said.get("episode", f"episode {number}")),
        Frames(partial(_frames, observations[camera])),
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
