"""Finds where episodes begin: photos, folders of them, first frames, recorded episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from chronosim.episodes import list_episodes
from chronosim.episodes.place import Place, as_place
from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.frames import read_frame
from chronosim.models.sizes import Sizing
from chronosim.scenarios.moments import Moments
from chronosim.scenarios.starts import Starts, load_starts
from chronosim.types import Frame

__all__ = ["Beginning", "find_beginning", "shipped_starts"]

_KINDS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_SHIPPED = files("chronosim.scenarios") / "starts"


@runtime_checkable
class Beginning(Protocol):
    """What first frames are drawn from."""

    def draw(self, rng: np.random.Generator) -> tuple[Frame, dict[str, float]]:
        """Draws a frame, in memory of its own, and named initial values."""
        ...


def find_beginning(
    frame: str | Path,
    *,
    sizing: Sizing,
    values: Mapping[str, float] | None = None,
    names: Sequence[str] = (),
    step: int | None = None,
) -> Beginning:
    """Finds what a scenario's `frame` means.

    Args:
        frame: An image file; a folder of them; an .npz of first frames; the name of a shipped one;
            a recorded data set, or one episode of it, also behind a URL (s3://...).
        sizing: How a frame becomes one for the model.
        values: Initial values for image files, which do not tell them.
        names: For recordings: what the numbers of their commanded states are called, in order.
        step: For recordings: the moment of an episode to begin at; None: any.

    Raises:
        InvalidFrame: There is nothing there, or no frame that can be used.
        InvalidConfig: A setting that belongs to another kind of beginning.
        ChronosimError: As the reading of it raises.
    """
    text = str(frame)
    path = as_place(text if "://" in text else Path(text).expanduser())
    episodes = _episodes(path)
    if episodes:
        _check_unused(text, "a recording", values=values)
        return _Fitted(Moments(tuple(episodes), tuple(names), step), sizing)
    _check_unused(text, "no recording", names=names or None, step=step)
    if text in shipped_starts():
        _check_unused(text, "shipped with its values", values=values)
        with as_file(_SHIPPED / f"{text}.npz") as shipped:
            return _Fitted(load_starts(shipped), sizing)
    if path.suffix == ".npz":
        return _Fitted(load_starts(Path(text).expanduser(), values or None), sizing)
    return _pictures(Path(text).expanduser(), values or {}, sizing)


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
    """The episodes that a path means: itself, those in it, or those in its `episodes`."""
    if (path / "zarr.json").is_file():
        return [path]
    for folder in (path, path / "episodes"):
        if folder.is_dir() and (found := list_episodes(folder)):
            return list(found)
    return []


def _pictures(path: Path, values: Mapping[str, float], sizing: Sizing) -> Starts:
    """Reads pictures and fits each once; they are the only ones that come from a camera."""
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
    frames = [sizing.there(read_frame(file)) for file in paths]
    sizes = sorted({frame.shape[:2] for frame in frames})
    if len(sizes) > 1:
        raise InvalidFrame(
            f"the pictures in {path} must be of one size, not {sizes}: give size=[height, width]"
        )
    of_each = {name: np.full(len(frames), value, np.float32) for name, value in values.items()}
    return Starts(np.stack(frames), of_each)


def _check_unused(frame: str, kind: str, **settings: object) -> None:
    for name, given in settings.items():
        if given is not None:
            raise InvalidConfig(f"{frame} is {kind}, so that {name}={given} means nothing for it")
