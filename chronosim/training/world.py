"""The networks that learn how a world moves, as one module."""

from __future__ import annotations

from diffusers import ChronoEditTransformer3DModel
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import CLIPVisionModel, UMT5EncoderModel

from chronosim.models.attention import CrossAttention, fold_padding

__all__ = ["World"]


class World(nn.Module):
    """The three networks that learn how a world moves.

    Args:
        transformer: Denoises latents.
        text_encoder: Reads the words.
        image_encoder: Reads the observed frame.
    """

    def __init__(
        self,
        transformer: ChronoEditTransformer3DModel,
        text_encoder: UMT5EncoderModel,
        image_encoder: CLIPVisionModel,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self._attention = CrossAttention(transformer)

    def forward(
        self,
        latents: Float[Tensor, "batch inputs slots h w"],
        sigma: Float[Tensor, " batch"],
        tokens: Int[Tensor, "batch tokens"],
        frames: Float[Tensor, "batch 3 height width"],
    ) -> Float[Tensor, "batch channels slots h w"]:
        """The velocity (noise minus clean) that the transformer sees in noisy latents.

        Args:
            latents: Noisy latents and condition, channels joined.
            sigma: Share of noise, 0 to 1.
            tokens: Token ids, padded with 0.
            frames: Observed frames in [-1, 1].
        """
        mask = (tokens != 0).long()
        words = self.text_encoder(tokens, mask).last_hidden_state * mask[..., None]
        context = fold_padding(words, mask.sum(1))
        seen = self.image_encoder(frames, output_hidden_states=True).hidden_states[-2]
        return self._attention.forward(latents, sigma * 1000, context, seen).float()
