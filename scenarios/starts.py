"""Beginnings of episodes: photos, folders of them, first frames, moments of recorded episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float32, UInt8

from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.episodes.place import Place, as_place, is_episode
from chronosim.errors import EpisodeNotFound, InvalidConfig, InvalidEpisode, InvalidFrame
from chronosim.files import user_path
from chronosim.frames import read_frame
from chronosim.models.engine.sizes import Sizing
from chronosim.types import Frame, Observation

_KINDS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".avif")
_SHIPPED = files("chronosim.scenarios") / "starts"


@runtime_checkable
class Beginning(Protocol):
    """A source that first frames are drawn from."""

    def draw(self, rng: np.random.Generator) -> tuple[Frame, dict[str, float]]:
        """Draws a frame, in memory of its own, and initial values by name."""
        ...


def find_beginning(
    frame: str | Path,
    *,
    sizing: Sizing,
    values: Mapping[str, float] | None = None,
    names: Sequence[str] = (),
    step: int | None = None,
) -> Beginning:
    """Finds the source that a scenario's `frame` names.

    Args:
        frame: An image file; a folder of them; an .npz of first frames; the name of a shipped one;
            a recorded data set, or one episode of it, also behind a URL (s3://...).
        sizing: How a frame is resized for the model.
        values: Initial values for image files, which hold none.
        names: Names of the numbers in a recording's commanded states, in order.
        step: The moment of a recorded episode to begin at; None: any.

    Raises:
        InvalidFrame: There is nothing at the path, or no frame that can be used.
        InvalidConfig: A setting belongs to another kind of source.
        ChronosimError: The source cannot be read.
    """
    text = str(frame)
    path = as_place(text if "://" in text else user_path(text))
    episodes = _episodes(path)
    if episodes:
        _check_unused(text, "a recording", values=values)
        return _Fitted(Moments(tuple(episodes), tuple(names), step), sizing)
    _check_unused(text, "no recording", names=names or None, step=step)
    if text in shipped_starts():
        _check_unused(text, "shipped with its values", values=values)
        return _Fitted(_shipped(text), sizing)
    if path.suffix == ".npz":
        return _Fitted(load_starts(user_path(text), values or None), sizing)
    return _pictures(user_path(text), values or {}, sizing)


def load_small(
    name: str, given: str | Path | None, values: Mapping[str, float] | None = None
) -> Starts:
    """Reads the first frames of one of nano's worlds, which are 96 x 96.

    Args:
        name: Name of the shipped ones.
        given: Path of others; None: the shipped ones.
        values: As for `load_starts`.

    Raises:
        EpisodeNotFound: There is nothing at the path.
        InvalidFrame: The first frames are not RGB uint8 of 96 x 96.
    """
    starts = _shipped(name) if given is None else load_starts(given, values)
    if starts.frames.shape[1:3] != (96, 96):
        raise InvalidFrame(
            f"the first frames of {name} must be 96 x 96, not {starts.frames.shape[1:3]}"
        )
    return starts


def _shipped(name: str) -> Starts:
    with as_file(_SHIPPED / f"{name}.npz") as path:
        return load_starts(path)


def shipped_starts() -> list[str]:
    """Names the first frames that come with chronosim."""
    entries = (entry.name for entry in _SHIPPED.iterdir())
    return sorted(name.removesuffix(".npz") for name in entries if name.endswith(".npz"))


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Draws frames and fits them to the model's size."""

    drawn: Beginning
    sizing: Sizing

    def draw(self, rng: np.random.Generator) -> tuple[Frame, dict[str, float]]:
        frame, values = self.drawn.draw(rng)
        return self.sizing.there(frame), values


def _episodes(path: Place) -> list[Place]:
    """Finds the episodes of a path: itself, those in it, or those in its `episodes`."""
    if is_episode(path):
        return [path]
    for folder in (path, path / "episodes"):
        if folder.is_dir() and (found := list_episodes(folder)):
            return list(found)
    return []


def _pictures(path: Path, values: Mapping[str, float], sizing: Sizing) -> Starts:
    """Reads pictures from a camera and resizes each once for the model."""
    if path.is_dir():
        paths = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in _KINDS)
        if not paths:
            raise InvalidFrame(
                f"there is no picture in {path}: it needs one of {', '.join(_KINDS)}"
            )
    else:
        if not path.is_file():
            raise InvalidFrame(
                f"there is nothing to begin with at {path}: name a picture, a folder of them, an "
                f".npz, a recorded data set or one of {', '.join(shipped_starts())}"
            )
        paths = [path]
    return _stacked(paths, values, sizing)


def _stacked(paths: Sequence[Path], values: Mapping[str, float], sizing: Sizing) -> Starts:
    frames = [sizing.there(read_frame(path)) for path in paths]
    sizes = sorted({frame.shape[:2] for frame in frames})
    if len(sizes) > 1:
        raise InvalidFrame(
            f"the pictures in {paths[0].parent} must be of one size, not {sizes}: "
            "resize them, or give size=[height, width] to a Scene"
        )
    of_each = {name: np.full(len(frames), value, np.float32) for name, value in values.items()}
    return Starts(np.stack(frames), of_each)


def _check_unused(frame: str, kind: str, **settings: object) -> None:
    for name, given in settings.items():
        if given is not None:
            raise InvalidConfig(f"{frame} is {kind}: {name}={given} means nothing for it")


@dataclass(frozen=True, slots=True, eq=False)
class Starts:
    """First frames in memory, each with its initial values.

    Attributes:
        frames: uint8 (n, height, width, 3), n >= 1.
        values: Initial values for the prompter, by name, in its units; each float32 (n,).

    Raises:
        InvalidFrame: `frames` is empty or not RGB uint8, or an array of values does not fit it.
    """

    frames: UInt8[np.ndarray, "n height width 3"]
    values: Mapping[str, Float32[np.ndarray, " n"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frames = self.frames
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
            raise InvalidFrame(
                "first frames must be uint8 of shape (n, height, width, 3), RGB, n at least 1, "
                f"not {frames.dtype} of shape {frames.shape}"
            )
        for name, values in self.values.items():
            if values.shape != (len(frames),) or not np.isfinite(values).all():
                raise InvalidFrame(
                    f"{len(frames)} first frames need as many finite values of {name!r}, "
                    f"not an array of shape {values.shape}"
                )

    def __len__(self) -> int:
        return len(self.frames)

    def draw(self, rng: np.random.Generator) -> tuple[Frame, dict[str, float]]:
        """Draws a copy of a frame, and its initial values."""
        index = int(rng.integers(len(self)))
        values = {name: float(values[index]) for name, values in self.values.items()}
        return self.frames[index].copy(), values


def load_starts(path: str | Path, values: Mapping[str, float] | None = None) -> Starts:
    """Reads first frames.

    Args:
        path: An .npz with `frames` as in `Starts` and an array of each initial value, or a folder
            of RGB PNGs of one size.
        values: Names of the initial values that an .npz must hold, and the values that PNGs begin
            with; None: whatever the .npz holds.

    Raises:
        EpisodeNotFound: There is nothing at `path`, or no PNG in the folder.
        InvalidFrame: A picture is not RGB uint8, the sizes differ, or the .npz lacks a key.
    """
    path = Path(path)
    if path.is_dir():
        if not (paths := sorted(path.glob("*.png"))):
            raise EpisodeNotFound(f"there is no PNG in {path}")
        return _stacked(paths, values or {}, Sizing())
    if not path.is_file():
        raise EpisodeNotFound(f"there are no first frames at {path}")
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            names = [name for name in arrays if name != "frames"] if values is None else values
            return Starts(
                arrays["frames"], {name: arrays[name].astype(np.float32) for name in names}
            )
    except (BadZipFile, KeyError, TypeError, ValueError) as error:
        needed = "".join(f" and {name}, float (n,)," for name in values or ())
        raise InvalidFrame(
            f"{path} must be an .npz with frames, uint8 (n, height, width, 3),{needed} "
            f"and nothing but numbers: {error}"
        ) from error


def save_starts(
    dataset: str | Path,
    path: str | Path,
    *,
    names: Sequence[str],
    fits: Callable[[Observation], bool] = lambda observation: True,
    count: int = 64,
    first_seed: int = 0,
    seed: int = 0,
) -> None:
    """Picks moments from recorded episodes in turn and saves them as an .npz of first frames.

    Args:
        dataset: Folder of episodes.
        path: The .npz to write.
        names: Of the prompter's initial values, in the order of the recorded commanded states.
        fits: Whether an episode may begin at a moment.
        count: Number of moments.
        first_seed: Episodes recorded with a smaller seed are left out.
        seed: Seed of the choice.

    Raises:
        EpisodeNotFound: There is no data set.
        InvalidEpisode: It holds fewer such moments than `count`, or states of another length.
    """
    rng = np.random.default_rng(seed)
    readers = [EpisodeReader(episode) for episode in list_episodes(dataset)]
    turns = [
        [(reader, int(index)) for index in rng.permutation(_fitting(reader, names, fits))]
        for reader in readers
        if int(reader.about["seed"]) >= first_seed
    ]
    chosen = [moment for turn in zip_longest(*turns) for moment in turn if moment is not None]
    if len(chosen) < count:
        raise InvalidEpisode(
            f"{dataset} has {len(chosen)} moments at which an episode may begin, "
            f"but {count} were asked for: record more episodes"
        )
    moments = [reader.observation(index) for reader, index in chosen[:count]]
    states = np.stack([moment.state for moment in moments])
    arrays: dict[str, Any] = dict(zip(names, states.T, strict=True))
    np.savez_compressed(path, frames=np.stack([moment.frame for moment in moments]), **arrays)


def _fitting(
    reader: EpisodeReader, names: Sequence[str], fits: Callable[[Observation], bool]
) -> list[int]:
    frames, states = reader.frames, reader.states
    if states.shape[1] != len(names):
        raise InvalidEpisode(
            f"{reader.path} keeps states of {states.shape[1]} numbers, but {len(names)} are named: "
            f"{', '.join(names) or 'none'}"
        )
    moments = zip(frames, states, strict=True)
    return [index for index, moment in enumerate(moments) if fits(Observation(*moment, index))]


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of recorded episodes, read when they are drawn: a data set may be large.

    Attributes:
        episodes: Their places, one or more.
        names: Names of the numbers in their commanded states, in order.
        step: The moment of each episode to begin at; None: any but the last, where the world may
            have ended.

    Raises:
        InvalidEpisode: `names` and the first episode's states differ in length, or it has no such
            step.
    """

    episodes: Sequence[Place]
    names: Sequence[str] = ()
    step: int | None = None

    def __post_init__(self) -> None:
        self._begin(EpisodeReader(self.episodes[0]), self.step or 0)

    def draw(self, rng: np.random.Generator) -> tuple[Frame, dict[str, float]]:
        """Draws a moment: its frame, and its initial values by name."""
        reader = EpisodeReader(self.episodes[int(rng.integers(len(self.episodes)))])
        if self.step is not None:
            return self._begin(reader, self.step)
        return self._begin(reader, int(rng.integers(max(1, reader.steps))))

    def _begin(self, reader: EpisodeReader, index: int) -> tuple[Frame, dict[str, float]]:
        if not 0 <= index <= reader.steps:
            raise InvalidEpisode(
                f"{reader.path} has the moments 0 to {reader.steps}, but no step {index}"
            )
        moment = reader.observation(index)
        if len(moment.state) != len(self.names):
            raise InvalidEpisode(
                f"{reader.path} keeps states of {len(moment.state)} numbers: "
                f"name them all with names=[...], not {list(self.names)}"
            )
        return moment.frame, dict(zip(self.names, map(float, moment.state), strict=True))
