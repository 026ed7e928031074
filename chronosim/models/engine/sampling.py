"""The settings of the sampler."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeGuard

from chronosim.errors import InvalidConfig

__all__ = ["Sampling"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a prediction is sampled; part of a model's identity.

    `reasoning_steps` decides what is denoised, `decode_trajectory` only what is decoded: the
    outcome is bit for bit the same with and without decoding. A reasoning step costs several plain
    ones (about six on ChronoEdit-14B), for it carries the frames in between as well.

    Attributes:
        denoising_steps: Passes of the sampler, >= 1.
        guidance: Classifier-free guidance scale; up to 1 means none and one forward a step, above
            1 two forwards.
        flow_shift: Shift of the noise schedule, > 0; larger spends more steps at high noise.
        reasoning_steps: The first denoising steps, in which temporal reasoning tokens take part: 0
            for none, "all" for every one, at most `denoising_steps`.
        decode_trajectory: Whether the frames in between are decoded (with reasoning steps only).
        scheduler: "unipc" (second order, ChronoEdit's own) or "euler" (first order).

    Raises:
        InvalidConfig: A setting is out of its range.
    """

    denoising_steps: int = 50
    guidance: float | int = 5.0
    flow_shift: float | int = 5.0
    reasoning_steps: int | str = 0
    decode_trajectory: bool = True
    scheduler: str = "unipc"

    def __post_init__(self) -> None:
        if not _is_count(self.denoising_steps) or self.denoising_steps < 1:
            raise InvalidConfig(
                f"denoising_steps must be a whole number from 1 up, not {self.denoising_steps!r}"
            )
        if not _is_finite(self.guidance) or self.guidance < 0:
            raise InvalidConfig(f"guidance must be a number from 0 up, not {self.guidance!r}")
        if not _is_finite(self.flow_shift) or self.flow_shift <= 0:
            raise InvalidConfig(f"flow_shift must be a number above 0, not {self.flow_shift!r}")
        if self.reasoning_steps != "all" and not (
            _is_count(self.reasoning_steps) and 0 <= self.reasoning_steps <= self.denoising_steps
        ):
            raise InvalidConfig(
                f"reasoning_steps must lie between 0 and denoising_steps "
                f'({self.denoising_steps}), or be "all", not {self.reasoning_steps!r}'
            )
        if self.decode_trajectory not in (True, False):
            raise InvalidConfig(
                f"decode_trajectory must be true or false, not {self.decode_trajectory!r}"
            )
        if self.scheduler not in ("unipc", "euler"):
            raise InvalidConfig(f'scheduler must be "unipc" or "euler", not {self.scheduler!r}')

    @property
    def reasoned_steps(self) -> int:
        """Denoising steps in which reasoning tokens take part, 0 to `denoising_steps`."""
        reasoning = self.reasoning_steps
        return reasoning if isinstance(reasoning, int) else self.denoising_steps

    @property
    def guided(self) -> bool:
        """Whether each denoising step compares the text with an empty one."""
        return self.guidance > 1


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
