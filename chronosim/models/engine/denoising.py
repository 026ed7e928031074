"""The denoising loop with temporal reasoning tokens, and the velocity it follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_chronoedit import ChronoEditTransformer3DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from chronosim.models.engine.acceleration import CrossAttention, TextContext, fold_padding
from chronosim.models.engine.sampling import Sampling

_ENDS = [0, -1]  # the observed frame's latent and the outcome's

Latents = Float32[Tensor, "batch channels time height width"]
Flow = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The velocity, noise minus data, at (latents, condition, timestep)."""


@dataclass(frozen=True, slots=True, eq=False)
class Denoised:
    """What the loop ends with.

    Attributes:
        latents: The final latents: two of them, or all if no reasoning token was dropped.
        between: The reasoning tokens, clean: final, or estimated in their last step; time is 0
            without reasoning.
    """

    latents: Latents
    between: Float32[Tensor, "batch channels between height width"]

    @property
    def ends(self) -> Latents:
        """The final latents of the observed frame and of the outcome."""
        return self.latents[:, :, _ENDS]


def build_scheduler(config: Any, sampling: Sampling) -> Any:
    """Builds a fresh scheduler from a model's own scheduler config, of whichever class that was."""
    shift = float(sampling.flow_shift)
    if sampling.scheduler == "euler":
        return FlowMatchEulerDiscreteScheduler.from_config(
            config, shift=shift, stochastic_sampling=False, use_dynamic_shifting=False
        )
    return UniPCMultistepScheduler.from_config(
        config,
        flow_shift=shift,
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        use_dynamic_shifting=False,
    )


def read_scheduler(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Gives the settings that sample as a folder's own scheduler does.

    Args:
        config: What scheduler_config.json holds.

    Returns:
        `scheduler` and `flow_shift`; None: neither of ours samples so.
    """
    kind = config.get("_class_name")
    if config.get("use_dynamic_shifting"):
        return None
    if kind == "FlowMatchEulerDiscreteScheduler" and not config.get("stochastic_sampling"):
        return {"scheduler": "euler", "flow_shift": config.get("shift", 1.0)}
    flows = config.get("use_flow_sigmas") and config.get("prediction_type") == "flow_prediction"
    if kind == "UniPCMultistepScheduler" and flows:
        return {"scheduler": "unipc", "flow_shift": config.get("flow_shift", 1.0)}
    return None


def denoise(
    velocity: Flow,
    scheduler: Any,
    noise: Latents,
    condition: Float32[Tensor, "batch known time height width"],
    sampling: Sampling,
    progress: Callable[[], None],
) -> Denoised:
    """Turns noise into latents.

    After the reasoning steps only the first and the last latent go on, in the samples, in the
    condition and in whatever the scheduler remembers. The clean estimate of the others, x0 =
    sample - sigma * velocity, is what they had come to.

    Args:
        velocity: Noise minus data at a sample, its condition and its timestep.
        scheduler: A fresh one; it is used up.
        noise: Two latent frames, or all for reasoning.
        condition: What the transformer sees beside the noise, of as many frames.
        sampling: The sampler's settings.
        progress: Called after every denoising step.
    """
    scheduler.set_timesteps(sampling.denoising_steps, device=noise.device)
    latents = noise
    between = None
    for step, timestep in enumerate(scheduler.timesteps):
        if step == sampling.reasoned_steps and step > 0:
            _drop_reasoning(scheduler, latents)
            latents, condition = latents[:, :, _ENDS], condition[:, :, _ENDS]
        flow = velocity(latents, condition, timestep)
        if step == sampling.reasoned_steps - 1:
            between = (latents - scheduler.sigmas[step] * flow)[:, :, 1:-1]
        latents = scheduler.step(flow, timestep, latents, return_dict=False)[0]
        progress()
    if between is None or latents.shape[2] > 2:
        between = latents[:, :, 1:-1]
    return Denoised(latents, between)


def _drop_reasoning(scheduler: Any, latents: Latents) -> None:
    """Cuts the reasoning tokens out of what a multistep scheduler remembers of earlier steps."""

    def cut(value: Any) -> Any:
        if isinstance(value, Tensor) and value.shape == latents.shape:
            return value[:, :, _ENDS]
        return [cut(item) for item in value] if isinstance(value, list) else value

    for name, value in vars(scheduler).items():
        if isinstance(value, Tensor | list):
            setattr(scheduler, name, cut(value))


class Velocity:
    """Asks the transformer where noisy latents flow, for a batch of prompts.

    Args:
        transformer: The network.
        texts: Each row's text embedding, (tokens, width), unpadded.
        frames: Each row's frame embedding.
        blank: The embedding of the empty text, (tokens, width): what guidance leads away from;
            None for no guidance.
        guidance: How far it leads.
        together: Whether the two forwards of guidance are one of twice as many rows.
    """

    def __init__(
        self,
        transformer: ChronoEditTransformer3DModel,
        texts: Sequence[Float[Tensor, "_ width"]],
        frames: Float[Tensor, "batch patches vision"],
        blank: Float[Tensor, "_ width"] | None,
        guidance: float,
        *,
        together: bool = False,
    ) -> None:
        self._attention = CrossAttention(transformer)
        self._dtype = transformer.dtype
        self._guidance = guidance
        blanks = [] if blank is None else [blank] * len(texts)
        if blanks and together:
            contexts = [(_context([*texts, *blanks]), torch.cat([frames, frames]))]
        else:
            contexts = [(_context(rows), frames) for rows in (texts, blanks) if rows]
        self._contexts = contexts

    def __call__(
        self,
        latents: Float32[Tensor, "batch channels time height width"],
        condition: Float32[Tensor, "batch known time height width"],
        timestep: Tensor,
    ) -> Float32[Tensor, "batch channels time height width"]:
        """Gives noise minus data; the guided of two where there is guidance."""
        inputs = torch.cat([latents, condition], dim=1).to(self._dtype)
        flows: list[Tensor] = []
        for text, frames in self._contexts:
            copies = len(frames) // len(inputs)
            rows = inputs.repeat(copies, 1, 1, 1, 1) if copies > 1 else inputs
            flow = self._forward(rows, timestep.expand(len(rows)), text, frames)
            flows += flow.chunk(copies)
        if len(flows) == 1:
            return flows[0]
        told, blank = flows
        return blank + self._guidance * (told - blank)

    def _forward(
        self, inputs: Tensor, times: Tensor, text: TextContext, frames: Tensor
    ) -> Float32[Tensor, "batch channels time height width"]:
        """The one place where text enters the transformer."""
        return self._attention.forward(inputs, times, text, frames).float()


def _context(texts: Sequence[Float[Tensor, "_ width"]]) -> TextContext:
    lengths = torch.tensor([len(text) for text in texts], device=texts[0].device)
    return fold_padding(F.pad(pad_sequence(list(texts), batch_first=True), (0, 0, 0, 1)), lengths)
