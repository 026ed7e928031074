"""The flow's velocity: the transformer, guided by text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_chronoedit import ChronoEditTransformer3DModel
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from chronosim.models.attention import CrossAttention, TextContext, fold_padding

__all__ = ["Velocity"]


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
