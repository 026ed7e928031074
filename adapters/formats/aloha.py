"""Reads the HDF5 of ALOHA and ACT: an episode a file, frames as they are or as padded JPEG."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import InvalidEpisode
from chronosim.formats.columns import EpisodeColumns, FrameSource, make_columns
from chronosim.formats.hdf5 import (
    attributes,
    h5py,
    open_guarded,
    read_joined,
    read_rows,
    unwritten,
)
from chronosim.formats.importing import Contents
from chronosim.formats.pixels import FrameMaker, picture_kind
from chronosim.formats.safety import camera_of, names_of, other_format
from chronosim.frames import decode_frame
from chronosim.types import Frame

_BLOCK = 16  # frames read at once: 480 x 640 ones are a megabyte each
_INSTRUCTIONS = ("language_raw", "language_instruction", "instruction")


@dataclass(frozen=True, slots=True)
class AlohaImporter:
    """Files `episode_<n>.hdf5` with `observations/images/<camera>`, `observations/qpos`, `action`.

    It knows no clock: give the conversion a `source_fps`, which is 50 on ALOHA's arms. An
    instruction (`language_raw` and its like) becomes the words of all rows; a file's attributes go
    along in the episode's `about`.

    Attributes:
        camera: Which of `observations/images`: arrays as `pixels.FrameMaker` takes them, or JPEG or
            PNG bytes with zeros behind them; None: the only one.
        action: Which array holds the actions, or several that are joined.
        state: Which of `observations`, joined, are the states; None: `qpos`, if there is one.
        bgr: Whether frames are stored blue first.
    """

    camera: str | None = None
    action: str | Sequence[str] = "action"
    state: str | Sequence[str] | None = None
    bgr: bool = False

    def read(self, source: Path) -> Contents:
        """Opens a data set.

        Raises:
            EpisodeNotFound: There is no such file.
            InvalidConfig: A setting is no name.
            InvalidEpisode: The first file is not ALOHA's, or lacks what was asked for.
        """
        found = [source] if source.is_file() else [*source.glob("*.hdf5"), *source.glob("*.h5")]
        paths = sorted((path for path in found if not path.name.startswith(".")), key=_numbered)
        if not paths:
            raise other_format(source, "ALOHA data set", "episode_<n>.hdf5")
        with open_guarded(paths[0]) as file:
            observed, pictures = _observed(file, paths[0])
            kinds = {name: f"{array.dtype} {array.shape}" for name, array in pictures.items()}
            cameras = [name for name, array in pictures.items() if _is_camera(array)]
            camera = camera_of(cameras, self.camera, paths[0], kinds)
            states = names_of(observed, self.state, ("qpos",), paths[0], "format.state")
            actions = names_of(list(file), self.action, (), paths[0], "format.action")
        reader = _Reader(camera, states, actions, self.bgr)
        recordings = [partial(reader.recording, path) for path in paths]
        return Contents(recordings, (), reader.converted)


def _numbered(path: Path) -> list[str | int]:
    """The parts of a name, numbers as such: episode 10 comes after episode 9."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.stem)]


def _observed(file: Any, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of `observations`, and those of its images.

    Raises:
        InvalidEpisode: There are none.
    """
    observed = file.get("observations")
    images = observed.get("images") if isinstance(observed, h5py.Group) else None
    if not isinstance(images, h5py.Group):
        held = ", ".join(sorted(file)) or "nothing"
        raise InvalidEpisode(f"{path} has no observations/images, as ALOHA's have; it has: {held}")
    groups = [
        {name: item for name, item in group.items() if isinstance(item, h5py.Dataset)}
        for group in (observed, images)
    ]
    return groups[0], groups[1]


def _is_camera(array: Any) -> bool:
    colour = bool(array.shape) and picture_kind(array.shape[1:], array.dtype) == "colour"
    return colour or _is_compressed(array)


def _is_compressed(array: Any) -> bool:
    """Whether each row is the bytes of an image file."""
    padded = array.ndim == 2 and array.dtype == np.uint8
    return padded or (array.ndim == 1 and h5py.check_vlen_dtype(array.dtype) == np.uint8)


@dataclass(frozen=True, slots=True)
class _Reader:
    camera: str
    states: tuple[str, ...]
    actions: tuple[str, ...]
    bgr: bool
    converted: set[str] = field(default_factory=set)

    def recording(self, path: Path) -> EpisodeColumns:
        with open_guarded(path) as file:
            observed, pictures = _observed(file, path)
            for name, held in (
                *((name, file) for name in self.actions),
                *((name, observed) for name in self.states),
                (self.camera, pictures),
            ):
                if name not in held:
                    raise InvalidEpisode(f"{path} has no {name}, which the first file has")
            if len(self.actions) > 1:
                self.converted.add(f"{', '.join(self.actions)} to one vector of actions")
            actions = read_joined([file[name] for name in self.actions])
            shown = pictures[self.camera]
            if not _is_camera(shown) or len(shown) != len(actions):
                raise InvalidEpisode(
                    f"{path} has {len(actions)} actions, but {self.camera} is {shown.dtype} of "
                    f"shape {shown.shape}"
                )
            words, told = _instruction(file)
            read = [*self.states, *self.actions, *told, *_INNER]
            lost = [f"the camera {name}" for name in set(pictures) - {self.camera}]
            lost += [f"the array {name}" for name in {*observed, *file} - set(read)]
            if unwritten(shown):
                lost.append(f"parts of {self.camera}, which were never written")
            return make_columns(
                path.stem,
                FrameSource(partial(self._frames, path)),
                actions,
                closed=False,
                states=read_joined([observed[n] for n in self.states]) if self.states else None,
                texts=[words] * len(actions),
                about={"attributes": attributes(file)} if len(file.attrs) else None,
                lost=lost,
            )

    def _frames(self, path: Path) -> Iterator[Frame]:
        with open_guarded(path, again=True) as file:
            pictures = file["observations/images"][self.camera]
            compressed, maker = _is_compressed(pictures), FrameMaker(self.camera, self.converted)
            for begin in range(0, len(pictures), _BLOCK):
                block = read_rows(pictures, begin, begin + _BLOCK)
                where = f"{self.camera} of {path}"
                made = self._decoded(block, begin, where) if compressed else maker(block, row=begin)
                for frame in made:
                    yield np.ascontiguousarray(frame[..., ::-1]) if self.bgr else frame

    def _decoded(self, block: np.ndarray, begin: int, where: str) -> Iterator[Frame]:
        for row, content in enumerate(block, begin):
            if not content.any():
                raise InvalidEpisode(f"{where} has no image at row {row}")
            yield decode_frame(
                content.astype(np.uint8).tobytes(),
                f"{where} at row {row}",
                told=lambda what: self.converted.add(f"images to RGB frames: {what}"),
            )


_INNER = ("images", "observations", "compress_len")  # groups, and lengths that are not needed


def _instruction(file: Any) -> tuple[str, list[str]]:
    """What was asked for in words, and the array that says it."""
    for name in _INSTRUCTIONS:
        if isinstance(file.get(name), h5py.Dataset):
            value = np.asarray(file[name][()]).reshape(-1)[:1].tolist()
            words = [each.decode(errors="replace") for each in value if isinstance(each, bytes)]
            if words:
                return words[0], [name]
    return "", []
