"""What an import changes, and only when it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chronosim.adapters.datasets.stepping import COMBINATIONS
from chronosim.errors import InvalidConfig

__all__ = ["Conversion"]


@dataclass(frozen=True, slots=True)
class Conversion:
    """How foreign rows become steps; every value is noted in each episode's `about`.

    Attributes:
        size: Height and width that frames are fitted to: cut to the shape, then resized.
        source_fps: The source's rows a second, where it does not say.
        fps: Rows a second to resample to, actions held; None: as they are.
        rows_per_step: Rows in one step; the frames between them become its trajectory.
        action: What the step's action is made of: the `first` row's, the `chunk` of all rows',
            their `mean`, or their `sum`.
        text: Words of every step; None: as the source says.
        synthetic: Whether the source's frames were predicted by a model, where it does not say.

    Raises:
        InvalidConfig: A value that cannot work.
    """

    size: Sequence[int] | None = None
    source_fps: float | None = None
    fps: float | None = None
    rows_per_step: int = 1
    action: str = "first"
    text: str | None = None
    synthetic: bool = False

    def __post_init__(self) -> None:
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise InvalidConfig(f"size must be a height and a width in pixels, not {self.size}")
        if self.rows_per_step < 1:
            raise InvalidConfig(f"rows_per_step must be 1 or more, not {self.rows_per_step}")
        if self.action not in COMBINATIONS:
            raise InvalidConfig(
                f"action must be one of {', '.join(COMBINATIONS)}, not {self.action!r}"
            )
        for name in ("source_fps", "fps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidConfig(f"{name} must be above 0, not {value}")
