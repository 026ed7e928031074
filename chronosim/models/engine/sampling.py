"""The settings of the sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from chronosim.errors import InvalidConfig
from chronosim.settings.typed import Amount, Count, OneOf, Range, check_fields


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

    denoising_steps: Count = 50
    guidance: Amount = 5.0
    flow_shift: Annotated[float, Range(0, above=True)] = 5.0
    reasoning_steps: Annotated[int, Range(0)] | Annotated[str, OneOf(("all",))] = 0
    decode_trajectory: bool = True
    scheduler: Annotated[str, OneOf(("unipc", "euler"))] = "unipc"

    def __post_init__(self) -> None:
        check_fields(self)
        if isinstance(self.reasoning_steps, int) and self.reasoning_steps > self.denoising_steps:
            raise InvalidConfig(
                f"reasoning_steps must lie between 0 and denoising_steps "
                f'({self.denoising_steps}), or be "all", not {self.reasoning_steps!r}'
            )

    @property
    def reasoned_steps(self) -> int:
        """Denoising steps in which reasoning tokens take part, 0 to `denoising_steps`."""
        reasoning = self.reasoning_steps
        return reasoning if isinstance(reasoning, int) else self.denoising_steps

    @property
    def guided(self) -> bool:
        """Whether each denoising step compares the text with an empty one."""
        return self.guidance > 1
