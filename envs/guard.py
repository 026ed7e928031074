"""A drift guard: tells when an imagined frame has left the world that it should be of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float32, UInt8

from chronosim.errors import EpisodeWriteError, InvalidConfig, InvalidFrame, ModelNotFound
from chronosim.files import user_path
from chronosim.types import Frame

_SHIPPED = files("chronosim.scenarios") / "guards"
_SHRINKAGE = 0.02  # of the covariance towards its diagonal; few frames know few correlations
_ARRAYS = ("size", "mean", "whitening", "limit", "about")


@dataclass(frozen=True, slots=True, eq=False)
class DriftGuard:
    """Calls a frame lost whose traits lie too far from those of true frames.

    Traits are brightness, colours and how rough the frame is at several scales; the distance is
    Mahalanobis's, so that what varies much in the world may vary, and what never does may not.
    It does not know what is in a frame: a well-drawn impossible one passes.

    Attributes:
        size: (height, width) of the frames it knows.
        mean: Of the traits of true frames.
        whitening: Makes traits of equal weight; the distance is the length of what it gives.
        limit: The distance from which a frame is lost.
        about: Where the frames came from, and how often it errs: for whoever reads the file.
    """

    size: tuple[int, int]
    mean: Float32[np.ndarray, " traits"]
    whitening: Float32[np.ndarray, "traits traits"]
    limit: float
    about: str = ""

    def __call__(self, frame: Frame) -> str | None:
        """Gives `"drift"` for a frame that has left the world, None for one that has not.

        Raises:
            InvalidFrame: The frame is not of the size that the guard knows.
        """
        return "drift" if self.distance(frame) > self.limit else None

    def distance(self, frame: Frame) -> float:
        """Gives how far a frame is from true ones: about the root of the number of traits for one.

        Raises:
            InvalidFrame: The frame is not of the size that the guard knows.
        """
        if frame.shape[:2] != self.size:
            raise InvalidFrame(
                f"this guard knows frames of {self.size[0]} x {self.size[1]}, not of "
                f"{frame.shape[0]} x {frame.shape[1]}: calibrate one on frames of that size"
            )
        return float(np.linalg.norm((describe(frame) - self.mean) @ self.whitening))

    @classmethod
    def fit(
        cls,
        episodes: Sequence[UInt8[np.ndarray, "_ height width 3"]],
        held_out: Sequence[UInt8[np.ndarray, "_ height width 3"]],
        *,
        false_alarms: float = 0.01,
        about: str = "",
    ) -> DriftGuard:
        """Calibrates a guard on true frames.

        Args:
            episodes: True frames to learn from, episode by episode; a few thousand in all.
            held_out: Those of other episodes, which set the limit.
            false_alarms: In how large a share of those it may call a true frame lost, 0 to 1.
            about: Where the frames came from.

        Raises:
            InvalidConfig: There are too few frames or episodes, or the share is none.
        """
        if not 0 < false_alarms < 1:
            raise InvalidConfig(f"false_alarms must lie between 0 and 1, not {false_alarms}")
        if len(held_out) * false_alarms < 1:
            raise InvalidConfig(
                f"{len(held_out)} held-out episodes cannot show false alarms in "
                f"{false_alarms:.2%} of them: give at least {int(np.ceil(1 / false_alarms))}"
            )
        traits = np.stack([describe(frame) for episode in episodes for frame in episode])
        if len(traits) < 4 * traits.shape[1]:
            raise InvalidConfig(
                f"{len(traits)} frames are too few for {traits.shape[1]} traits: give at least "
                f"{4 * traits.shape[1]}"
            )
        covariance = np.cov(traits.T.astype(float))
        shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.diag(np.diag(covariance))
        variances, directions = np.linalg.eigh(shrunk + 1e-6 * np.eye(len(shrunk)))
        whitening = (directions / np.sqrt(variances)).astype(np.float32)
        size = (int(episodes[0].shape[1]), int(episodes[0].shape[2]))
        free = cls(size, traits.mean(0), whitening, np.inf, about)
        worst = [max(free.distance(frame) for frame in episode) for episode in held_out]
        limit = float(np.quantile(worst, 1 - false_alarms))
        return cls(size, free.mean, whitening, limit, about)

    def save(self, path: str | Path) -> None:
        """Keeps the guard in an .npz of some kilobytes.

        Raises:
            EpisodeWriteError: The disk refuses.
        """
        try:
            with Path(path).open("wb") as file:
                np.savez_compressed(
                    file,
                    size=np.array(self.size),
                    mean=self.mean,
                    whitening=self.whitening,
                    limit=np.array(self.limit),
                    about=np.array(self.about),
                )
        except OSError as error:
            raise EpisodeWriteError(f"{path} cannot be written: {error}") from error


def shipped_guards() -> list[str]:
    """Gives the names of the guards that come with chronosim."""
    return sorted(entry.name.removesuffix(".npz") for entry in _SHIPPED.iterdir())


def load_guard(name: str | Path) -> DriftGuard:
    """Reads a guard.

    Args:
        name: One that comes with chronosim, such as "carracing"; or a file that `save` wrote.

    Raises:
        ModelNotFound: There is none of that name, and no such file.
        InvalidConfig: The file is no guard.
    """
    if isinstance(name, str) and name in shipped_guards():
        with as_file(_SHIPPED / f"{name}.npz") as path:
            return _read(path)
    path = user_path(name)
    if not path.is_file():
        known = ", ".join(shipped_guards())
        raise ModelNotFound(f"there is no guard {name}: name a file, or one of: {known}")
    return _read(path)


def _read(path: Path) -> DriftGuard:
    try:
        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in _ARRAYS}
        height, width = arrays["size"].tolist()
        return DriftGuard(
            (height, width),
            arrays["mean"],
            arrays["whitening"],
            float(arrays["limit"]),
            str(arrays["about"]),
        )
    except (OSError, EOFError, ValueError, TypeError, KeyError, BadZipFile) as error:
        raise InvalidConfig(f"{path} is no guard: {error}") from error


_SCALES = 3  # the frame, and halved twice
_BINS = 8
_LEAST = 1e-3  # of brightness 0 to 1: below it, differences are all alike


def describe(frame: Frame) -> Float32[np.ndarray, " traits"]:
    """Gives a frame's traits: its colours, and how rough it is at three scales.

    Args:
        frame: RGB uint8 (height, width, 3), at least 12 pixels a side.
    """
    seen = frame.astype(np.float32) / 255
    traits = _colours(frame, seen)
    for _ in range(_SCALES):
        traits += _roughness(seen)
        seen = _halved(seen)
    return np.concatenate(traits, dtype=np.float32)


def _colours(frame: Frame, seen: np.ndarray) -> list[np.ndarray]:
    """Mean and deviation of each colour, and the share of pixels in each part of its range."""
    shares = [
        np.bincount(frame[..., c].ravel() // (256 // _BINS), minlength=_BINS) for c in range(3)
    ]
    roots = np.sqrt(np.concatenate(shares) / frame[..., 0].size)  # a share's noise becomes even
    return [seen.mean((0, 1)), seen.std((0, 1)), roots]


def _roughness(seen: np.ndarray) -> list[np.ndarray]:
    """Mean differences of neighbours in each colour, and the variance of the Laplacian."""
    across, down = (np.abs(np.diff(seen, axis=axis)).mean((0, 1)) for axis in (1, 0))
    grey = seen.mean(-1)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    laplacian = (around - 4 * grey[1:-1, 1:-1]).var()
    return [
        np.log(across + _LEAST),
        np.log(down + _LEAST),
        np.log(np.array([laplacian]) + 0.01 * _LEAST),
    ]


def _halved(seen: np.ndarray) -> np.ndarray:
    height, width = (side // 2 * 2 for side in seen.shape[:2])
    return seen[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))
