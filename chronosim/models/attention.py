"""Cross-attention that reads its text once, without the padding.

ChronoEdit attends to 512 text tokens whatever the text's length; the padding is zeros, so all of it
has one key and one value. Attending to n equal tokens is attending to one of them with log(n) added
to its score: the same sums over a few dozen tokens instead of 512. And keys and values depend on
the words and the frame only: they are computed at the first denoising step and kept, and from then
on words and frame do not go through the transformer any more.
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
_Bias = Float[Tensor, "batch 1 1 folded"]


@dataclass(slots=True, eq=False)
class TextContext:
    """What one batch of prompts gives every cross-attention.

    Attributes:
        embeds: Text embeddings, the padding folded into the columns past each text's end:
            float (batch, folded, text_dim).
        bias: Added to the attention scores: float (batch, 1, 1, folded).
        kept: Keys and values, layer by layer; filled at the first forward that needs no gradient.
    """

    embeds: Float[Tensor, "batch folded text_dim"]
    bias: _Bias
    kept: list[_Keys] = field(default_factory=list, repr=False)


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
    """Runs a transformer on folded text, through processors of its own in every cross-attention.

    Outside of `forward` those processors do what diffusers' own do.

    Args:
        transformer: Gets a processor for the `attn2` of each of its blocks, if it has none yet.
    """

    def __init__(self, transformer: ChronoEditTransformer3DModel) -> None:
        self._transformer: Any = transformer
        for block in self._transformer.blocks:
            if not isinstance(block.attn2.processor, _Layer):
                block.attn2.set_processor(_Layer())
        self._layers: list[_Layer] = [block.attn2.processor for block in self._transformer.blocks]

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
        words: Tensor = context.embeds
        seen: Tensor | None = frames
        if context.kept:
            words, seen = words[:, :1], None  # nobody reads them: a word, for its number format
        try:
            for index, layer in enumerate(self._layers):
                keys = context.kept[index] if context.kept else None
                layer.begin(context.bias, keys)
            velocity: Tensor = self._transformer(latents, timestep, words, seen, return_dict=False)[
                0
            ]
            if not context.kept:
                context.kept += [layer.keys for layer in self._layers if layer.keys is not None]
        finally:
            for layer in self._layers:
                layer.end()
        return velocity


class _Layer:
    """The processor of one cross-attention.

    Each block has its own, and what it holds are tensors: that makes all blocks one compiled graph.

    Attributes:
        bias: Added to the text's scores; None outside of `CrossAttention.forward`.
        keys: What was projected, where no gradient is needed.
    """

    def __init__(self) -> None:
        self.end()

    def begin(self, bias: _Bias, keys: _Keys | None) -> None:
        self.bias: _Bias | None = bias
        self.keys: _Keys | None = keys

    def end(self) -> None:
        self.bias = self.keys = None

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
        keys = self.keys
        if keys is None:
            words = TEXT_TOKENS if self.bias is None else self.bias.shape[-1]
            keys = _project(attn, encoder_hidden_states, words)
            if self.bias is not None and not torch.is_grad_enabled():
                self.keys = keys
        key, value, image_key, image_value = keys
        bias = None if self.bias is None else self.bias.to(query.dtype)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        if image_key is not None and image_value is not None:
            out = out + F.scaled_dot_product_attention(query, image_key, image_value)
        mixed: Tensor = attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))
        return mixed


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
