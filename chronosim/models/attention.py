"""Cross-attention that reads its text once, without the padding.

ChronoEdit attends to 512 text tokens whatever the text's length; the padding is zeros, so all of it
has one key and one value. Attending to n equal tokens is attending to one of them with log(n) added
to its score: the same sums over a few dozen tokens instead of 512. And keys and values depend on
the words and the frame only: they are computed at the first denoising step and kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_chronoedit import (
    ChronoEditTransformer3DModel,
    WanAttention,
)
from jaxtyping import Float, Int, Num
from torch import Tensor

__all__ = ["TEXT_TOKENS", "CrossAttention", "TextContext", "fold_padding"]

TEXT_TOKENS = 512
"""Text tokens ChronoEdit attends to (diffusers' transformer_chronoedit.py has it hard-coded)."""

_Heads = Float[Tensor, "batch heads _ head_dim"]
_Keys = tuple[_Heads, _Heads, _Heads | None, _Heads | None]  # text, then frame: keys and values


@dataclass(slots=True, eq=False)
class TextContext:
    """What one batch of prompts gives every cross-attention.

    Attributes:
        embeds: Text embeddings, the padding folded into the columns past each text's end:
            float (batch, folded, text_dim).
        bias: Added to the attention scores: float (batch, 1, 1, folded).
        kept: Keys and values by layer; filled at the first forward that needs no gradient.
    """

    embeds: Float[Tensor, "batch folded text_dim"]
    bias: Float[Tensor, "batch 1 1 folded"]
    kept: dict[int, _Keys] = field(default_factory=dict, repr=False)


def fold_padding(
    embeds: Float[Tensor, "batch tokens text_dim"], lengths: Int[Tensor, " batch"]
) -> TextContext:
    """Folds zero-padded text embeddings.

    Args:
        embeds: Zeros past each text's end; at least one token longer than the longest text, unless
            that fills all 512.
        lengths: Tokens of each text, 1 to 512.
    """
    width = min(int(lengths.max()) + 1, TEXT_TOKENS)
    columns = torch.arange(width, device=embeds.device)
    real = columns < lengths[:, None]
    # The padding of a row is spread evenly over its columns past the text.
    copies = (TEXT_TOKENS - lengths).float() / (width - lengths).clamp(min=1)
    bias = torch.where(real, 0.0, copies.clamp(min=1e-9).log()[:, None])
    return TextContext(embeds[:, :width], bias[:, None, None, :].to(embeds.dtype))


class CrossAttention:
    """Runs a transformer on folded text; it replaces the processor of every cross-attention.

    Outside of `forward` those processors do what diffusers' own do.

    Args:
        transformer: Gets this object as the processor of its blocks' `attn2`.
    """

    def __init__(self, transformer: ChronoEditTransformer3DModel) -> None:
        self._transformer: Any = transformer
        self._context: TextContext | None = None
        for block in self._transformer.blocks:
            block.attn2.set_processor(self)

    def forward(
        self,
        latents: Float[Tensor, "batch inputs slots h w"],
        timestep: Num[Tensor, " batch"],
        context: TextContext,
        frames: Float[Tensor, "batch patches vision"],
    ) -> Float[Tensor, "batch channels slots h w"]:
        """The transformer's answer.

        Args:
            latents: Noisy latents and condition, channels joined.
            timestep: 0 to 1000.
            context: The folded text of each row.
            frames: Embeddings of the observed frames.
        """
        self._context = context
        try:
            velocity: Tensor = self._transformer(
                latents, timestep, context.embeds, frames, return_dict=False
            )[0]
        finally:
            self._context = None
        return velocity

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: Float[Tensor, "batch tokens dim"],
        encoder_hidden_states: Float[Tensor, "batch context dim"],
        attention_mask: Tensor | None = None,
        rotary_emb: Tensor | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """One cross-attention, called by diffusers; it uses neither a mask nor positions."""
        query = _heads(attn, attn.norm_q(attn.to_q(hidden_states)))
        key, value, image_key, image_value = self._keys(attn, encoder_hidden_states)
        bias = None if self._context is None else self._context.bias.to(query.dtype)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        if image_key is not None and image_value is not None:
            out = out + F.scaled_dot_product_attention(query, image_key, image_value)
        mixed: Tensor = attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))
        return mixed

    def _keys(self, attn: WanAttention, encoded: Tensor) -> _Keys:
        context = self._context
        if context is None:
            return _project(attn, encoded, TEXT_TOKENS)
        if id(attn) in context.kept:
            return context.kept[id(attn)]
        keys = _project(attn, encoded, context.bias.shape[-1])
        if not torch.is_grad_enabled():
            context.kept[id(attn)] = keys
        return keys


def _project(attn: WanAttention, encoded: Tensor, words: int) -> _Keys:
    """Keys and values of the text (the last `words` tokens) and of the frame (those before)."""
    split = encoded.shape[1] - words
    image, text = encoded[:, :split], encoded[:, split:]
    image_key = image_value = None
    if attn.add_k_proj is not None and attn.add_v_proj is not None:
        image_key = _heads(attn, attn.norm_added_k(attn.add_k_proj(image)))
        image_value = _heads(attn, attn.add_v_proj(image))
    key, value = attn.norm_k(attn.to_k(text)), attn.to_v(text)
    return _heads(attn, key), _heads(attn, value), image_key, image_value


def _heads(attn: WanAttention, x: Float[Tensor, "batch _ dim"]) -> _Heads:
    return torch.unflatten(x, 2, (attn.heads, -1)).transpose(1, 2)
