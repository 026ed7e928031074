"""From a camera's size to one that the model works at, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.frames import middle_of, resize_frame
from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt, Frame, Prediction, Trajectory

AREA = 720 * 1280
"""Pixels of the frames that ChronoEdit's own scripts ask for (run_inference_diffusers.py)."""

GRID = 16
"""All sides of ChronoEdit's frames are multiples of it: 8 to a latent, 2 to a token."""

_WAYS = ("exact", "fit", "crop")


def model_size(height: int, width: int, *, area: int = AREA, grid: int = GRID) -> tuple[int, int]:
    """Gives the size nearest in shape to a camera's that has a model's area and lies on its grid.

    A small frame is enlarged: the model was trained at this area.

    Args:
        height: The camera's, in pixels.
        width: The camera's, in pixels.
        area: Pixels to come close to, never above by more than rounding.
        grid: What both sides become multiples of, rounded down.

    Raises:
        InvalidFrame: A shape so long that a side would vanish.

    Source: the rule in nv-tlabs/ChronoEdit's run_inference_diffusers.py and diffusers' ChronoEdit
        page.
    """
    shape = height / width
    sides = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
    fitted = sides[0] // grid * grid, sides[1] // grid * grid
    if 0 in fitted:
        raise InvalidFrame(
            f"a frame of {height} x {width} is too long to fit into {area} pixels on a grid of "
            f"{grid}: cut it to a shape nearer to a square"
        )
    return fitted


@dataclass(frozen=True, slots=True)
class Sizing:
    """How a camera's frame becomes one for the model, and the model's one for the camera.

    Attributes:
        way: "exact": frames are taken as they are, and the model refuses what is off its grid;
            "fit": the whole frame is resized by `model_size`, its aspect kept to within the grid;
            "crop": its middle is cut to the shape of `size`, then resized.
        size: Height and width for "crop", multiples of `grid`.
        area: Pixels for "fit".
        grid: What the model's sides must be multiples of; 16 for every published ChronoEdit.

    Raises:
        InvalidConfig: An unknown way, a crop without a size, or a size off the grid.
    """

    way: str = "exact"
    size: tuple[int, int] | None = None
    area: int = AREA
    grid: int = GRID

    def __post_init__(self) -> None:
        if self.way not in _WAYS:
            raise InvalidConfig(f"a size is found by {', '.join(_WAYS)}, not by {self.way!r}")
        if (self.way == "crop") != (self.size is not None):
            raise InvalidConfig(f"a size belongs to crop, not to {self.way}, and crop needs one")
        if self.size is not None and (min(self.size) < 1 or any(s % self.grid for s in self.size)):
            nearest = [max(1, round(side / self.grid)) * self.grid for side in self.size]
            raise InvalidConfig(
                f"a size must be multiples of {self.grid} from {self.grid} up, not {self.size[0]} "
                f"x {self.size[1]}; the nearest is {nearest[0]} x {nearest[1]}"
            )
        if self.area < self.grid**2:
            raise InvalidConfig(f"an area must be {self.grid**2} pixels or more, not {self.area}")

    def there(self, frame: Frame) -> UInt8[np.ndarray, "rows columns 3"]:
        """Makes a camera's frame one for the model.

        Resampled as ChronoEdit's own scripts do: bicubic, by Pillow, averaging where it shrinks.

        Raises:
            InvalidFrame: It is too long and narrow to fit.
        """
        if self.way == "exact":
            return frame
        if self.size is not None:
            rows, columns = middle_of(frame, self.size[0] / self.size[1])
            return _resample(frame[rows, columns], self.size)
        height, width = frame.shape[:2]
        return _resample(frame, model_size(height, width, area=self.area, grid=self.grid))

    def back(
        self, trajectory: Trajectory, camera: UInt8[np.ndarray, "rows columns 3"]
    ) -> UInt8[np.ndarray, "time rows columns 3"]:
        """Brings what the model made of a camera's frame back to its size.

        What a crop cut off stays as the camera saw it: the model never knew of it.

        Args:
            trajectory: The model's, uint8 (time, height, width, 3).
            camera: The frame that `there` was given.

        Returns:
            uint8 (time, camera's height, camera's width, 3), in memory of its own.
        """
        seen = slice(None), slice(None)
        if self.size is not None:
            seen = middle_of(camera, self.size[0] / self.size[1])
        frames = np.repeat(camera[None], len(trajectory), axis=0)
        size = camera[seen].shape[:2]
        for frame, made in zip(frames, trajectory, strict=True):
            frame[seen] = resize_frame(np.ascontiguousarray(made), (size[0], size[1]))
        return frames


def read_sizing(size: str | Sequence[int] | None, area: int = AREA) -> Sizing:
    """Reads a setting: None, "fit" (to `area` pixels), or height and width.

    Raises:
        InvalidConfig: It is none of these.
    """
    if size is None:
        return Sizing()
    if size == "fit":
        return Sizing("fit", area=area)
    if isinstance(size, str) or len(size) != 2:
        raise InvalidConfig(f"size must be fit, or [height, width] in pixels, not {size}")
    return Sizing("crop", (int(size[0]), int(size[1])))


def _resample(frame: Frame, size: tuple[int, int]) -> UInt8[np.ndarray, "rows columns 3"]:
    height, width = size
    if frame.shape[:2] == size:
        return np.ascontiguousarray(frame)
    picture = Image.fromarray(np.ascontiguousarray(frame))
    return np.array(picture.resize((width, height), Image.Resampling.BICUBIC))


class CameraSized:
    """Answers at the size it is asked at, whatever the model's sizes are.

    Each step resizes twice, so detail is lost with every one of a rollout: an environment fits the
    camera once, at reset (`frame_size`), and is the better choice for many steps.

    Args:
        model: The world model.
        sizing: How frames get there and back.
    """

    def __init__(self, model: WorldModel, sizing: Sizing) -> None:
        self.model = model
        self.sizing = sizing

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's, and how its frames are sized."""
        return {**self.model.identity, "sizing": asdict(self.sizing)}

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Answers each prompt at its own frame's size.

        Raises:
            InvalidFrame: A frame that cannot be fitted, or of a size the model does not work at.
            InvalidPrompt: Words the model cannot read.
        """
        fitted = [replace(prompt, frame=self.sizing.there(prompt.frame)) for prompt in prompts]
        return [
            replace(made, trajectory=self.sizing.back(made.trajectory, prompt.frame))
            for made, prompt in zip(self.model.predict(fitted), prompts, strict=True)
        ]
