"""The settings of the sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from chronosim.errors import InvalidConfig
from chronosim.settings.typed import Amount, Count, OneOf, Range, check_fields

_TIMES = 1000  # timesteps of a noise schedule, whole numbers; source: num_train_timesteps


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
        flow_shift: Shift of the noise schedule, 0.01 to 100; a larger one spends more steps at high
            noise.
        reasoning_steps: The first denoising steps, in which temporal reasoning tokens take part: 0
            for none, "all" for every one, at most `denoising_steps`.
        decode_trajectory: Whether the frames in between are decoded (with reasoning steps only).
        scheduler: "unipc" (second order, ChronoEdit's own) or "euler" (first order).
        negative_prompt: What guidance leads away from; the published settings leave it empty.
        truncate_text: Whether of a text of more than 512 tokens the first 512 are read, with a
            warning, as diffusers does without one; else it is refused.

    Raises:
        InvalidConfig: A setting is out of its range, a negative prompt without guidance, or a noise
            schedule in which two steps would be the same.
    """

    denoising_steps: Count = 50
    guidance: Amount = 5.0
    flow_shift: Annotated[float, Range(0.01, 100)] = 5.0
    reasoning_steps: Annotated[int, Range(0)] | Annotated[str, OneOf(("all",))] = 0
    decode_trajectory: bool = True
    scheduler: Annotated[str, OneOf(("unipc", "euler"))] = "unipc"
    negative_prompt: str = ""
    truncate_text: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        if isinstance(self.reasoning_steps, int) and self.reasoning_steps > self.denoising_steps:
            raise InvalidConfig(
                f"reasoning_steps must lie between 0 and denoising_steps "
                f'({self.denoising_steps}), or be "all", not {self.reasoning_steps!r}'
            )

        if self.negative_prompt and not self.guided:
            raise InvalidConfig(
                f"a negative prompt needs guidance above 1, not {self.guidance:g}: "
                "guidance is what leads away from it"
            )
        self._check_schedule()

    def _check_schedule(self) -> None:
        """Refuses steps so close at high noise that the transformer is told the same time twice."""
        steps, shift = self.denoising_steps, self.flow_shift
        second = 1 - (1 - 1 / _TIMES) / steps  # noise level of the second step, before the shift
        shifted = shift * second / (1 + (shift - 1) * second)
        if self.scheduler == "unipc" and steps > 1 and shifted >= 1 - 1 / _TIMES:
            raise InvalidConfig(
                f"{steps} denoising steps with a flow_shift of {shift:g} lie closer than "
                f"the {_TIMES} noise levels that unipc tells apart: take fewer steps, a smaller "
                "flow_shift, or scheduler=euler"
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
