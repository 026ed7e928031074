"""First frames: reads them from an .npz or a folder of PNGs, and picks them from recordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float32, UInt8

from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.errors import EpisodeNotFound, InvalidEpisode, InvalidFrame
from chronosim.frames import read_frame
from chronosim.types import Frame, Observation

__all__ = ["Starts", "load_starts", "save_starts"]


@dataclass(frozen=True, slots=True, eq=False)
class Starts:
    """Moments at which an episode may begin.

    Attributes:
        frames: uint8 (n, height, width, 3), n >= 1.
        values: Initial values for the prompter, by name, in its units; each float32 (n,).

    Raises:
        InvalidFrame: There is none, or `frames` are not RGB uint8, or a value does not fit them.
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
        """Draws a moment: a copy of its frame, and its initial values."""
        index = int(rng.integers(len(self)))
        values = {name: float(values[index]) for name, values in self.values.items()}
        return self.frames[index].copy(), values


def load_starts(path: str | Path, values: Mapping[str, float] | None = None) -> Starts:
    """Reads first frames.

    Args:
        path: An .npz with `frames` as in `Starts` and an array of each initial value, or a folder
            of RGB PNGs of one size.
        values: The initial values that there must be in an .npz, and what PNGs, which do not tell,
            begin with; None: whatever the .npz holds.

    Raises:
        EpisodeNotFound: There is nothing at `path`, or no PNG in the folder.
        InvalidFrame: A picture is not RGB uint8, the sizes differ, or the .npz lacks a key.
    """
    path = Path(path)
    if path.is_dir():
        return _load_pictures(path, values or {})
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
    """Picks moments from recorded episodes and saves them as an .npz of first frames.

    Episodes take turns, so that the moments come from as many of them as there are.

    Args:
        dataset: Folder of episodes.
        path: The .npz to write.
        names: What the numbers of the recorded commanded states are called, in their order: the
            names of the prompter's initial values.
        fits: Whether an episode may begin at a moment.
        count: How many moments.
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


def _load_pictures(folder: Path, values: Mapping[str, float]) -> Starts:
    frames = [read_frame(path) for path in sorted(folder.glob("*.png"))]
    if not frames:
        raise EpisodeNotFound(f"there is no PNG in {folder}")
    sizes = sorted({frame.shape[:2] for frame in frames})
    if len(sizes) > 1:
        raise InvalidFrame(f"the PNGs in {folder} must be of one size, but they are of {sizes}")
    of_each = {name: np.full(len(frames), value, np.float32) for name, value in values.items()}
    return Starts(np.stack(frames), of_each)
