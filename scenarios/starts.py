"""First frames: reads them from an .npz or a folder of PNGs, and picks them from recordings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float32, UInt8

from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.errors import EpisodeNotFound, InvalidEpisode, InvalidFrame
from chronosim.frames import read_frame
from chronosim.scenarios.road import CAR, road_mask, road_share

__all__ = ["Starts", "load_starts", "save_starts"]


@dataclass(frozen=True, slots=True, eq=False)
class Starts:
    """Moments at which an episode may begin.

    Attributes:
        frames: uint8 (n, height, width, 3), n >= 1.
        speed: float32 (n,), m/s.

    Raises:
        InvalidFrame: There is none, or `frames` are not RGB uint8, or `speed` does not fit them.
    """

    frames: UInt8[np.ndarray, "n height width 3"]
    speed: Float32[np.ndarray, " n"]

    def __post_init__(self) -> None:
        frames = self.frames
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
            raise InvalidFrame(
                "first frames must be uint8 of shape (n, height, width, 3), RGB, n at least 1, "
                f"not {frames.dtype} of shape {frames.shape}"
            )
        if self.speed.shape != (len(frames),) or not np.isfinite(self.speed).all():
            raise InvalidFrame(
                f"{len(frames)} first frames need as many finite speeds, "
                f"not an array of shape {self.speed.shape}"
            )

    def __len__(self) -> int:
        return len(self.frames)


def load_starts(path: str | Path, speed: float = 0.0) -> Starts:
    """Reads first frames.

    Args:
        path: An .npz with `frames` and `speed` as in `Starts`, or a folder of RGB PNGs of one size.
        speed: m/s at the start, for PNGs, which do not tell it.

    Raises:
        EpisodeNotFound: There is nothing at `path`, or no PNG in the folder.
        InvalidFrame: A picture is not RGB uint8, the sizes differ, or the .npz lacks a key.
    """
    path = Path(path)
    if path.is_dir():
        return _load_pictures(path, speed)
    if not path.is_file():
        raise EpisodeNotFound(f"there are no first frames at {path}")
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return Starts(arrays["frames"], arrays["speed"].astype(np.float32))
    except (BadZipFile, KeyError, TypeError, ValueError) as error:
        raise InvalidFrame(
            f"{path} must be an .npz with frames, uint8 (n, height, width, 3), "
            f"and speed, float (n,): {error}"
        ) from error


def save_starts(
    dataset: str | Path,
    path: str | Path,
    *,
    count: int = 64,
    least_speed: float = 5.0,
    least_road: float = 0.45,
    first_seed: int = 0,
    seed: int = 0,
) -> None:
    """Picks moments from recorded CarRacing episodes and saves them as an .npz of first frames.

    Episodes take turns, so that the moments come from as many tracks as there are.

    Args:
        dataset: Folder of episodes.
        path: The .npz to write.
        count: How many moments.
        least_speed: Commanded speed they have at least, m/s.
        least_road: Share of road within 8 pixels of the car that they have at least; there is also
            road to be seen in each of the 30 rows ahead.
        first_seed: Episodes recorded with a smaller seed are left out.
        seed: Seed of the choice.

    Raises:
        EpisodeNotFound: There is no data set.
        InvalidEpisode: It holds fewer such moments than `count`.
    """
    rng = np.random.default_rng(seed)
    readers = [EpisodeReader(episode) for episode in list_episodes(dataset)]
    turns = [
        [(reader, int(index)) for index in rng.permutation(_fit(reader, least_speed, least_road))]
        for reader in readers
        if int(reader.about["seed"]) >= first_seed
    ]
    chosen = [moment for turn in zip_longest(*turns) for moment in turn if moment is not None]
    if len(chosen) < count:
        raise InvalidEpisode(
            f"{dataset} has {len(chosen)} moments on the road at {least_speed} m/s or more, "
            f"but {count} were asked for: record more episodes"
        )
    np.savez_compressed(
        path,
        frames=np.stack([reader.frames[index] for reader, index in chosen[:count]]),
        speed=np.stack([reader.states[index, 0] for reader, index in chosen[:count]]),
    )


def _fit(reader: EpisodeReader, least_speed: float, least_road: float) -> list[int]:
    """The moments of an episode that are fast enough, and on the road."""
    return [
        index
        for index, (frame, state) in enumerate(zip(reader.frames, reader.states, strict=True))
        if state[0] >= least_speed
        and road_share(frame, 8) >= least_road
        and road_mask(frame)[CAR[0] - 30 : CAR[0]].any(axis=1).all()
    ]


def _load_pictures(folder: Path, speed: float) -> Starts:
    frames = [read_frame(path) for path in sorted(folder.glob("*.png"))]
    if not frames:
        raise EpisodeNotFound(f"there is no PNG in {folder}")
    sizes = sorted({frame.shape[:2] for frame in frames})
    if len(sizes) > 1:
        raise InvalidFrame(f"the PNGs in {folder} must be of one size, but they are of {sizes}")
    return Starts(np.stack(frames), np.full(len(frames), speed, np.float32))
